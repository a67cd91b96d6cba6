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

// A badNetwork stands between clients and a server. As long as it is bad, it delays
// some commands for longer than they are waited for, and ends some connections between
// a command and its reply.
type badNetwork struct {
	net.Listener
	server string
	good   atomic.Bool
	conns  sync.WaitGroup
}

func newBadNetwork(t *testing.T, server string) *badNetwork {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &badNetwork{Listener: listener, server: server}
	n.conns.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			n.conns.Go(func() { n.carry(conn) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		n.conns.Wait()
	})
	return n
}

func (n *badNetwork) carry(client net.Conn) {
	server, err := net.Dial("tcp", n.server)
	if err != nil {
		_ = client.Close()
		return
	}
	var both sync.WaitGroup
	pass := func(to, from net.Conn, happens func()) {
		defer func() { _, _ = client.Close(), server.Close() }()
		buffer := make([]byte, 1<<16)
		for {
			count, err := from.Read(buffer)
			if err != nil {
				return
			}
			if !n.good.Load() && rand.IntN(20) == 0 {
				happens()
			}
			if _, err := to.Write(buffer[:count]); err != nil {
				return
			}
		}
	}
	both.Go(func() { pass(server, client, func() { time.Sleep(rand.N(300 * time.Millisecond)) }) })
	both.Go(func() { pass(client, server, func() { _ = client.Close() }) })
	both.Wait()
}

// Whatever the network does to commands and replies, the books of all processes add up
// to what the calls used, to the token and to the request.
func TestBooksOnABadNetwork(t *testing.T) {
	const processes, callers, calls = 3, 8, 40
	addr := miniredis.RunT(t).Addr()
	if binary != "" {
		addr = needServer(t).addr
	}
	network := newBadNetwork(t, addr)
	limit := limiter.Limit{RequestsPerSecond: 1e-9, RequestBurst: 100_000, TokensPerMinute: 100_000_000}
	config := redislimiter.Config{Prefix: newPrefix(), Timeout: 100 * time.Millisecond, Patience: 30 * time.Second, Lease: time.Minute, Jitter: time.Millisecond}
	var requests, tokens atomic.Int64
	var running sync.WaitGroup
	limiters := make([]limiter.Backend, processes)
	network.good.Store(true)
	for i := range limiters {
		client := redis.NewClient(&redis.Options{Addr: network.Addr().String()})
		t.Cleanup(func() { _ = client.Close() })
		limiters[i] = newLimiter(t, openStore(t, client, config), limit)
	}
	network.good.Store(false)
	for _, l := range limiters {
		for range callers {
			running.Go(func() {
				for range calls {
					r, n := oneCall(l)
					requests.Add(int64(r))
					tokens.Add(int64(n))
				}
			})
		}
	}
	running.Wait()
	network.good.Store(true)
	for _, l := range limiters {
		eventually(t, "what happened is told", func() bool {
			s := l.Snapshot()
			return s.Waiting == 0 && s.AvailableTokens != 0
		})
	}
	config.Timeout = time.Minute
	clean := newLimiter(t, openStore(t, redis.NewClient(&redis.Options{Addr: addr}), config), limit)
	s := clean.Snapshot()
	if used := limit.RequestBurst - s.AvailableRequests; int64(used+0.5) != requests.Load() {
		t.Errorf("the books have %v requests, want %d", used, requests.Load())
	}
	if used := float64(limit.TokensPerMinute) - s.AvailableTokens; int64(used) != tokens.Load() {
		t.Errorf("the books have %v tokens, want %d", used, tokens.Load())
	}
	t.Logf("%d calls: %d requests, %d tokens", processes*callers*calls, requests.Load(), tokens.Load())
}

// oneCall does what calls do, in any way, and returns what it used.
func oneCall(l limiter.Backend) (requests, tokens int) {
	ctx, cancel := context.WithTimeout(context.Background(), rand.N(300*time.Millisecond))
	defer cancel()
	estimate := rand.IntN(1000)
	p, err := l.Acquire(ctx, limiter.Call{Prompt: estimate})
	if err != nil {
		return 0, 0
	}
	sent := 1 // of the latest request
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
