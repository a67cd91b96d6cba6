package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter/redislimiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

func TestMain(m *testing.M) {
	if job := os.Getenv(jobVariable); job != "" {
		exit(work(job, os.Stdout))
	}
	os.Exit(m.Run())
}

// ownRedis is a server that the test may harm.
func ownRedis(t *testing.T) *redisServer {
	t.Helper()
	t.Setenv("REDIS_URL", "")
	server, err := startRedis(t.Context())
	if errors.Is(err, errNoRedis) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.stop)
	return server
}

// sharing reports whether the processes kept to one limit: without that, most calls
// would be refused. On a busy machine a few arrive more than the jitter closer than
// they were sent; that there are none on a quiet one is for make shared to show.
func sharing(r result) bool { return r.refused()*10 <= r.server.Requests }

// The measurement of make shared, cut short: what it says of the use of the quota
// takes minutes to say, but the limit is one, and all processes get some of it.
func TestManyProcesses(t *testing.T) {
	server := ownRedis(t)
	for mode := emulator.TokenBucket; mode <= emulator.SlidingWindow; mode++ {
		o := options{processes: 4, callers: 10, duration: 4 * time.Second}
		r, err := measure(t.Context(), o, mode, "requests", server)
		if err != nil {
			t.Fatal(err)
		}
		var table bytes.Buffer
		r.print(&table)
		t.Log("\n" + table.String())
		if !sharing(r) {
			t.Errorf("%v: %d of %d calls were refused", mode, r.refused(), r.server.Requests)
		}
		for i, p := range r.processes {
			if p.Calls == 0 || p.Failed != 0 {
				t.Errorf("%v: process %d: %d calls, %d failed: %v", mode, i+1, p.Calls, p.Failed, p.Failures)
			}
		}
		if most := 20 * (4 + 1); r.server.Admitted > most {
			t.Errorf("%v: %d calls in 4 s, want at most %d", mode, r.server.Admitted, most)
		}
	}
}

// Redis is ended and started anew in the middle, or one of the processes is killed:
// the others keep to the limit, and no call fails.
func TestSomethingBreaks(t *testing.T) {
	for _, broken := range []string{"kill", "restart"} {
		server := ownRedis(t)
		o := options{processes: 3, callers: 10, duration: 12 * time.Second, broken: broken}
		r, err := measure(t.Context(), o, emulator.SlidingWindow, "requests", server)
		if err != nil {
			t.Fatal(err)
		}
		if !sharing(r) {
			t.Errorf("%s: %d of %d calls were refused", broken, r.refused(), r.server.Requests)
		}
		for i, p := range r.processes {
			if p.Calls == 0 || p.Failed != 0 {
				t.Errorf("%s: process %d: %d calls, %d failed: %v", broken, i+1, p.Calls, p.Failed, p.Failures)
			}
		}
	}
}

// What a client says of a Redis that is away: an error of its own kind, soon.
func TestRedisIsAway(t *testing.T) {
	server := ownRedis(t)
	api, err := emulator.Start(emulator.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer api.Close()
	rdb := redis.NewClient(&redis.Options{Addr: strings.TrimPrefix(server.url, "redis://")})
	defer rdb.Close()
	store, err := redislimiter.Open(context.Background(), rdb, redislimiter.Config{Patience: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	config := ratelimited.Config{APIKey: "any", BaseURL: api.URL(), Limiter: store.Limiter}
	client, err := ratelimited.New(config)
	if err != nil {
		t.Fatal(err)
	}
	request := generated.StartConversationRequest{Model: model, Inputs: ratelimited.Text("Hello!")}
	if _, err := client.Beta.Conversations.Start(context.Background(), request); err != nil {
		t.Fatal(err)
	}

	server.stop()
	_, err = client.Beta.Conversations.Start(context.Background(), request)
	var away *ratelimited.LimiterError
	if !errors.As(err, &away) || away.Operation != "Conversations.Start" || !errors.Is(err, limiter.ErrUnavailable) || !errors.Is(err, ratelimited.ErrRetryable) {
		t.Errorf("error %v, want a LimiterError", err)
	}
	if n := api.Stats().Requests; n != 1 {
		t.Errorf("%d requests were sent, want the first only", n)
	}
	var invalid *ratelimited.ConfigError
	if _, err := ratelimited.New(config); !errors.As(err, &invalid) || invalid.Field != "Limiter" || !errors.Is(err, limiter.ErrUnavailable) {
		t.Errorf("error %v of a new client, want a ConfigError of Limiter", err)
	}
}

// Two processes' worth of calls wait when the API goes down: none is lost, and together
// they keep to the limit when it is back.
func TestNothingQueuedIsLost(t *testing.T) {
	const rps, calls = 20, 30
	server := ownRedis(t)
	api := emulator.New(emulator.Config{RequestsPerSecond: rps, Mode: emulator.SlidingWindow})
	web := httptest.NewServer(api)
	defer func() { web.Close() }()
	address := web.Listener.Addr().String()
	var clients [2]*ratelimited.Client
	for i := range clients {
		rdb := redis.NewClient(&redis.Options{Addr: strings.TrimPrefix(server.url, "redis://")})
		defer rdb.Close()
		store, err := redislimiter.Open(context.Background(), rdb, redislimiter.Config{Jitter: 200 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		clients[i], err = ratelimited.New(ratelimited.Config{APIKey: "any", BaseURL: web.URL, RequestsPerSecond: rps, Limiter: store.Limiter})
		if err != nil {
			t.Fatal(err)
		}
		defer clients[i].Close()
		if _, err := clients[i].Beta.Agents.List(t.Context(), generated.ListAgentsParams{}); err != nil {
			t.Fatal(err)
		}
	}
	down := make(chan struct{})
	time.AfterFunc(500*time.Millisecond, func() {
		defer close(down)
		web.CloseClientConnections()
		web.Close()
		<-time.After(time.Second)
		listener, err := net.Listen("tcp", address)
		if err != nil {
			t.Error(err)
			return
		}
		web = &httptest.Server{Listener: listener, Config: &http.Server{Handler: api}}
		web.Start()
	})
	inputs := make([]*ratelimited.Client, 2*calls)
	for i := range inputs {
		inputs[i] = clients[i%2]
	}
	for i, result := range ratelimited.Gather(t.Context(), inputs, func(ctx context.Context, client *ratelimited.Client) (int, error) {
		_, err := client.Beta.Conversations.Start(ctx, generated.StartConversationRequest{Model: model, Inputs: ratelimited.Text("Hello!")})
		return 0, err
	}) {
		if result.Err != nil {
			t.Errorf("call %d: %v", i, result.Err)
		}
	}
	<-down
	if refused := api.Stats().Total().Refused(); refused > 2*calls/10 {
		t.Errorf("%d of %d requests were refused", refused, api.Stats().Requests)
	}
	for i, client := range clients {
		if s := client.Snapshot()[""]; s.InFlight != 0 || s.HeldTokens != 0 || s.Waiting != 0 {
			t.Errorf("client %d: %d permits with %d tokens are left, %d calls wait", i, s.InFlight, s.HeldTokens, s.Waiting)
		}
	}
}

func TestFlags(t *testing.T) {
	for _, args := range [][]string{{"-processes", "0"}, {"-for", "0s"}, {"-mode", "none"}, {"-load", "none"}, {"-break", "all"}, {"-nothing"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("%v is accepted", args)
		}
	}
	if o, err := parse(nil); err != nil || o.duration > 12*time.Second {
		t.Errorf("%+v, %v: without flags it is to be short, for make examples", o, err)
	}
	o, err := parse([]string{"-mode", "all", "-load", "all"})
	if err != nil || len(o.modes) != 3 || len(o.loads) != 2 {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestWithoutRedis(t *testing.T) {
	t.Setenv("REDIS_URL", "")
	t.Setenv("PATH", t.TempDir())
	if err := run(context.Background(), nil, &bytes.Buffer{}); !errors.Is(err, errNoRedis) {
		t.Errorf("error %v, want how to get a Redis", err)
	}
}
