package redislimiter_test

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter/redislimiter"
)

// faultyNetwork is a proxy between clients and a server. Unless it is healthy, it delays some
// commands beyond the timeout, and closes some connections between a command and its response.
type faultyNetwork struct {
	net.Listener
	server  string
	healthy atomic.Bool
	conns   sync.WaitGroup
}

func newFaultyNetwork(t *testing.T, server string) *faultyNetwork {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &faultyNetwork{Listener: listener, server: server}
	n.conns.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			n.conns.Go(func() { n.proxy(conn) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		n.conns.Wait()
	})
	return n
}

func (n *faultyNetwork) proxy(client net.Conn) {
	server, err := net.Dial("tcp", n.server)
	if err != nil {
		_ = client.Close()
		return
	}
	var both sync.WaitGroup
	forward := func(to, from net.Conn, inject func()) {
		defer func() { _, _ = client.Close(), server.Close() }()
		buffer := make([]byte, 1<<16)
		for {
			count, err := from.Read(buffer)
			if err != nil {
				return
			}
			if !n.healthy.Load() && rand.IntN(20) == 0 {
				inject()
			}
			if _, err := to.Write(buffer[:count]); err != nil {
				return
			}
		}
	}
	both.Go(func() { forward(server, client, func() { time.Sleep(rand.N(300 * time.Millisecond)) }) })
	both.Go(func() { forward(client, server, func() { _ = client.Close() }) })
	both.Wait()
}

// With lost and delayed commands and responses, the shared state counts exactly the requests and
// tokens of all calls.
func TestStateOnAFaultyNetwork(t *testing.T) {
	const processes, callers, calls = 3, 8, 40
	addr := miniredis.RunT(t).Addr()
	if binary != "" {
		addr = needServer(t).addr
	}
	network := newFaultyNetwork(t, addr)
	limit := limiter.Limit{RequestsPerSecond: 1e-9, RequestBurst: 100_000, TokensPerMinute: 100_000_000}
	config := redislimiter.Config{Prefix: newPrefix(), Timeout: 100 * time.Millisecond, Patience: 30 * time.Second, Lease: time.Minute, Jitter: time.Millisecond}
	var requests, tokens atomic.Int64
	var running sync.WaitGroup
	limiters := make([]limiter.Backend, processes)
	network.healthy.Store(true)
	for i := range limiters {
		client := redis.NewClient(&redis.Options{Addr: network.Addr().String()})
		t.Cleanup(func() { _ = client.Close() })
		limiters[i] = newLimiter(t, openStore(t, client, config), limit)
	}
	network.healthy.Store(false)
	for _, l := range limiters {
		for range callers {
			running.Go(func() {
				for range calls {
					r, n := randomCall(l)
					requests.Add(int64(r))
					tokens.Add(int64(n))
				}
			})
		}
	}
	running.Wait()
	network.healthy.Store(true)
	for _, l := range limiters {
		eventually(t, "all updates are sent", func() bool {
			s := l.Snapshot()
			return s.Waiting == 0 && s.AvailableTokens != 0
		})
	}
	config.Timeout = time.Minute
	clean := newLimiter(t, openStore(t, redis.NewClient(&redis.Options{Addr: addr}), config), limit)
	s := clean.Snapshot()
	if used := limit.RequestBurst - s.AvailableRequests; int64(used+0.5) != requests.Load() {
		t.Errorf("Redis counts %v requests, want %d", used, requests.Load())
	}
	if used := float64(limit.TokensPerMinute) - s.AvailableTokens; int64(used) != tokens.Load() {
		t.Errorf("Redis counts %v tokens, want %d", used, tokens.Load())
	}
	t.Logf("%d calls: %d requests, %d tokens", processes*callers*calls, requests.Load(), tokens.Load())
}

// randomCall makes a call with random steps and returns its requests and tokens.
func randomCall(l limiter.Backend) (requests, tokens int) {
	ctx, cancel := context.WithTimeout(context.Background(), rand.N(300*time.Millisecond))
	defer cancel()
	estimate := rand.IntN(1000)
	p, err := l.Acquire(ctx, limiter.Call{Prompt: estimate})
	if err != nil {
		return 0, 0
	}
	sent := 1 // 0 if the latest request was returned
	for range rand.IntN(4) {
		switch rand.IntN(3) {
		case 0:
			p.ReturnRequest()
			sent = 0
		case 1:
			if p.Retry(ctx) == nil {
				requests += sent
				sent = 1
			}
		case 2:
			p.Sent()
		}
	}
	if rand.IntN(4) == 0 {
		p.Cancel()
		p.Settle(1)
		return requests, 0
	}
	actual := rand.IntN(2000)
	p.Settle(actual)
	p.Cancel()
	return requests + sent, actual
}
