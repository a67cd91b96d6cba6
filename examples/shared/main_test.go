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

// startOwnRedis starts a server that the test may stop and restart.
func startOwnRedis(t *testing.T) *redisServer {
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

// sharesLimit reports whether the processes shared one limit: otherwise most calls would get status
// 429. It tolerates 10%, because on a busy machine some calls arrive closer together than sent.
// On an idle machine, make shared requires 0.
func sharesLimit(r result) bool { return r.throttled()*10 <= r.server.Requests }

// The measurement of make shared with a short duration. The used share of the limit is only
// meaningful after minutes, but the processes share one limit and all of them make calls.
func TestProcessesShareOneLimit(t *testing.T) {
	server := startOwnRedis(t)
	for mode := emulator.TokenBucket; mode <= emulator.SlidingWindow; mode++ {
		o := options{processes: 4, callers: 10, duration: 4 * time.Second}
		r, err := measure(t.Context(), o, mode, "requests", server)
		if err != nil {
			t.Fatal(err)
		}
		var table bytes.Buffer
		r.print(&table)
		t.Log("\n" + table.String())
		if !sharesLimit(r) {
			t.Errorf("%v: %d of %d calls got status 429", mode, r.throttled(), r.server.Requests)
		}
		for i, p := range r.processes {
			if p.Calls == 0 || p.Failed != 0 {
				t.Errorf("%v: process %d: %d calls, %d failed: %v", mode, i+1, p.Calls, p.Failed, p.Failures)
			}
		}
		if limit := 20 * (4 + 1); r.server.Admitted > limit {
			t.Errorf("%v: %d calls in 4 s, want at most %d", mode, r.server.Admitted, limit)
		}
	}
}

// After a restart of Redis or a killed process, the other processes keep to the limit and none of
// their calls fails.
func TestRestartAndKill(t *testing.T) {
	for _, broken := range []string{"kill", "restart"} {
		server := startOwnRedis(t)
		o := options{processes: 3, callers: 10, duration: 12 * time.Second, broken: broken}
		r, err := measure(t.Context(), o, emulator.SlidingWindow, "requests", server)
		if err != nil {
			t.Fatal(err)
		}
		if !sharesLimit(r) {
			t.Errorf("%s: %d of %d calls got status 429", broken, r.throttled(), r.server.Requests)
		}
		for i, p := range r.processes {
			if p.Calls == 0 || p.Failed != 0 {
				t.Errorf("%s: process %d: %d calls, %d failed: %v", broken, i+1, p.Calls, p.Failed, p.Failures)
			}
		}
	}
}

// When Redis is unreachable, a client soon returns a LimiterError.
func TestUnreachableRedis(t *testing.T) {
	server := startOwnRedis(t)
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
	var failure *ratelimited.LimiterError
	if !errors.As(err, &failure) || failure.Operation != "Conversations.Start" || !errors.Is(err, limiter.ErrUnavailable) || !errors.Is(err, ratelimited.ErrRetryable) {
		t.Errorf("error %v, want a LimiterError", err)
	}
	if n := api.Stats().Requests; n != 1 {
		t.Errorf("%d requests were sent, want only the first", n)
	}
	var invalid *ratelimited.ConfigError
	if _, err := ratelimited.New(config); !errors.As(err, &invalid) || invalid.Field != "Limiter" || !errors.Is(err, limiter.ErrUnavailable) {
		t.Errorf("error %v of a new client, want a ConfigError of Limiter", err)
	}
}

// Calls of two clients wait during an outage of the API. All of them succeed after the outage, and
// together they keep to the limit.
func TestQueuedCallsSurviveOutage(t *testing.T) {
	const rps, calls = 20, 30
	server := startOwnRedis(t)
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
	if throttled := api.Stats().Total().Refused(); throttled > 2*calls/10 {
		t.Errorf("%d of %d requests got status 429", throttled, api.Stats().Requests)
	}
	for i, client := range clients {
		if s := client.Snapshot()[""]; s.InFlight != 0 || s.HeldTokens != 0 || s.Waiting != 0 {
			t.Errorf("client %d: %d permits with %d tokens remain, %d calls wait", i, s.InFlight, s.HeldTokens, s.Waiting)
		}
	}
}

func TestFlags(t *testing.T) {
	for _, args := range [][]string{{"-processes", "0"}, {"-for", "0s"}, {"-mode", "none"}, {"-load", "none"}, {"-break", "all"}, {"-nothing"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("parse(%v) returned nil, want an error", args)
		}
	}
	if o, err := parse(nil); err != nil || o.duration > 12*time.Second {
		t.Errorf("%+v, %v: want a short run without flags, for make examples", o, err)
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
		t.Errorf("error %v, want errNoRedis", err)
	}
}
