package ratelimited

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/estimate"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited/internal/outage"
)

// The test fills a client's memory with conversations, agents, models, and hosts with names of the
// maximum length. The client must keep fewer bytes than docs/security.md states, and no more after
// twice as many names.
func TestMemoryOfAClient(t *testing.T) {
	const bound = 20 << 20
	client, err := New(Config{APIKey: "a-key-of-this-test"})
	if err != nil {
		t.Fatal(err)
	}
	before := heap()
	fill := func(round int) int64 {
		id := func(kind string, i int) string {
			text := fmt.Sprintf("%s-%d-%d-", kind, round, i)
			return text + strings.Repeat("x", maxKeyLength-len(text))
		}
		for i := range maxConversations {
			client.memory.conversations.update(id("conv", i), func(c *conversation) {
				setCopy(&c.model, id("model", i))
				setCopy(&c.agentID, id("agent", i))
			})
			client.memory.recordModel("", id("agent", i), id("model", i))
			if i < 2*maxModels {
				client.memory.model(id("model", i)).Learn(100, estimate.Parts{}, 100, 100)
				f := &call{client: client, model: id("model", i) + strings.Repeat("y", 1<<16), op: operation{prompt: &prompt{}}}
				client.outages.Call(client.host, f.outageName(), limiter.Place{}, nil)
			}
		}
		return heap() - before
	}
	first := fill(1)
	second := fill(2)
	t.Logf("the client keeps %d bytes, then %d", first, second)
	if first > bound || second > first+first/4 {
		t.Errorf("the client keeps %d bytes, then %d; want at most %d, and about the same again", first, second, bound)
	}
	runtime.KeepAlive(client)
}

// The memory for outages of models and for other hosts is limited too.
func TestMemoryOfOutages(t *testing.T) {
	const bound = 20 << 20
	client, err := New(Config{APIKey: "a-key-of-this-test"})
	if err != nil {
		t.Fatal(err)
	}
	before := heap()
	for h := range 40 {
		for m := range 2000 {
			text := fmt.Sprintf("m-%d-%d-", h, m)
			call := client.outages.Call(fmt.Sprintf("https://g%d.example", h), text+strings.Repeat("x", maxKeyLength-len(text)), limiter.Place{}, nil)
			call.Enter()
			call.Report(outage.Alive, nil, 0)
			call.Enter()
			call.Report(outage.Overloaded, errors.New("overloaded"), time.Hour)
			call.Leave()
		}
	}
	if kept, outages := heap()-before, len(client.outages.Current()); kept > bound || outages > 20_000 {
		t.Errorf("%d bytes are kept for %d outages, want at most %d bytes for 20,000", kept, outages, bound)
	}
	runtime.KeepAlive(client)
}

// heap returns the size of the live heap in bytes.
func heap() int64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
