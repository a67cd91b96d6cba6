package ratelimited

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// A client that knows as many conversations, agents, models and hosts as it keeps, each with
// names of the greatest length, keeps less than the bounds that docs/security.md states.
// Fed with twice as many it keeps no more.
func TestBytesThatAClientKeeps(t *testing.T) {
	const bound = 20 << 20
	client, err := New(Config{APIKey: "a-key-of-this-test"})
	if err != nil {
		t.Fatal(err)
	}
	before := heap()
	feed := func(round int) int64 {
		id := func(kind string, i int) string {
			text := fmt.Sprintf("%s-%d-%d-", kind, round, i)
			return text + strings.Repeat("x", maxKey-len(text))
		}
		for i := range conversationsKept {
			client.memory.conversations.update(id("conv", i), func(c *conversation) {
				keep(&c.model, id("model", i))
				keep(&c.agentID, id("agent", i))
			})
			client.memory.modelOfAgent(id("agent", i), id("model", i))
			if i < 2*modelsKept {
				client.memory.model(id("model", i)).Learn(100, 100, 100)
				f := &flight{client: client, model: id("model", i) + strings.Repeat("y", 1<<16), op: operation{prompt: &prompt{}}}
				client.gates.Call(client.host, f.gateName(), limiter.Place{}, nil)
			}
		}
		return heap() - before
	}
	first := feed(1)
	second := feed(2)
	t.Logf("%d bytes, then %d", first, second)
	if first > bound || second > first+first/4 {
		t.Errorf("a client keeps %d bytes, and then %d; the bound is %d", first, second, bound)
	}
	runtime.KeepAlive(client)
}

func heap() int64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
