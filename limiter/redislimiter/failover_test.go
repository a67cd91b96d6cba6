package redislimiter_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter/redislimiter"
)

// After the master dies, Sentinel promotes the replica. Calls wait until then, and the limiter
// continues with the replicated state.
func TestFailover(t *testing.T) {
	master := needServer(t)
	_, masterPort, _ := net.SplitHostPort(master.addr)
	replica := needServer(t, "--replicaof", "127.0.0.1", masterPort)
	file := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("sentinel monitor m 127.0.0.1 %s 1\nsentinel down-after-milliseconds m 300\nsentinel failover-timeout m 1000\n", masterPort)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	sentinel, err := startSentinel(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sentinel.kill)
	ctx := context.Background()
	sentinelClient := redis.NewSentinelClient(&redis.Options{Addr: sentinel.addr})
	t.Cleanup(func() { _ = sentinelClient.Close() })
	eventually(t, "the Sentinel knows the replica", func() bool { return len(sentinelClient.Replicas(ctx, "m").Val()) == 1 })

	client := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "m", SentinelAddrs: []string{sentinel.addr}})
	t.Cleanup(func() { _ = client.Close() })
	limit := limiter.Limit{RequestsPerSecond: 1000, TokensPerMinute: 6000}
	// The lease is as long as acquire waits, and therefore longer than any failover in which this
	// test passes. The lease of the call in flight does not expire.
	config := redislimiter.Config{Prefix: newPrefix(), Lease: 20 * time.Second, Patience: time.Minute}
	a, b := newLimiter(t, openStore(t, client, config), limit), newLimiter(t, openStore(t, client, config), limit)
	acquire(t, a, 1000).Settle(1000)
	inFlight := acquire(t, b, 2000)
	a.Snapshot() // sends the pending updates
	key := "{" + config.Prefix + ":m}:state"
	promoted := replica.client(t)
	replicated := func() string { return promoted.HGet(ctx, key, "at").Val() }
	eventually(t, "the replica has the state", func() bool { return replicated() == master.client(t).HGet(ctx, key, "at").Val() })

	master.kill()
	acquire(t, a, 100).Settle(100)
	inFlight.Settle(500)
	// If b has noticed the outage, it reports the settlement after it notices the end of the outage,
	// at least up to 100 ms later. Until then Redis holds 2500 tokens for its call, 1.25 times the
	// estimate of 2000 as for each large call, and at most 2400 tokens are available.
	permits := "{" + config.Prefix + ":m}:permits"
	eventually(t, "no call is in flight", func() bool {
		b.Snapshot()
		return promoted.HLen(ctx, permits).Val() == 0
	})
	// 1000, 100 and 500 tokens were used. If the replica lagged, a new epoch starts, in which a
	// restores its usage: 1000 tokens, or 1100 if b notices the loss. Only these may count twice:
	// b restores only its call, which Redis knows.
	if n := a.Snapshot().AvailableTokens; n < 6000-1000-100-500-1100 || n > 6000-1000-100-500 {
		t.Errorf("%v tokens are available, want 4400, or at least 3300 if the replica lagged", n)
	}
	if addr, err := sentinelClient.GetMasterAddrByName(ctx, "m").Result(); err != nil || net.JoinHostPort(addr[0], addr[1]) != replica.addr {
		t.Errorf("the master is %v, want the replica at %s: %v", addr, replica.addr, err)
	}
}
