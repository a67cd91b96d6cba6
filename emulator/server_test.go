package emulator_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

func TestConfigIsValidated(t *testing.T) {
	t.Parallel()
	for want, cfg := range map[string]emulator.Config{
		"RequestsPerSecond is -1":                                   {RequestsPerSecond: -1},
		"RequestsPerSecond is 1e-12":                                {RequestsPerSecond: 1e-12},
		"TokensPerMinute is -2":                                     {TokensPerMinute: -2},
		`Limits["m"]: TokensPerMinute is -3`:                        {Limits: map[string]emulator.Limit{"m": {TokensPerMinute: -3}}},
		`ToolLimits["web_search"]: PerMinute is 1 and PerDay is -4`: {ToolLimits: map[string]emulator.ToolLimit{"web_search": {PerMinute: 1, PerDay: -4}}},
		"Mode is 9":                             {Mode: 9},
		"Latency is -1s":                        {Latency: -time.Second},
		"TokenDelay is -1ns: must be 0 or more": {TokenDelay: -1},
		"LatencySpread is 2s: must be from 0 to Latency, which is 1s": {Latency: time.Second, LatencySpread: 2 * time.Second},
		"TokensPerSecond is -1: must be 0":                            {TokensPerSecond: -1},
		"TokensPerSecond is 5: must be 0 if TokenDelay is set":        {TokensPerSecond: 5, TokenDelay: time.Second},
		`AllowedHosts[1] is "emulator:80"`:                            {AllowedHosts: []string{"::1", "emulator:80"}},
		`AllowedHosts[0] is ""`:                                       {AllowedHosts: []string{""}},
		`AllowedOrigins[0] is "localhost"`:                            {AllowedOrigins: []string{"localhost"}},
		`AllowedOrigins[0] is "http://a/"`:                            {AllowedOrigins: []string{"http://a/"}},
	} {
		server, err := emulator.Start(cfg)
		if err == nil {
			_ = server.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want %s", err, want)
		}
	}
}

// TestCloseEndsStreams closes a server during a stream that would take hours.
func TestCloseEndsStreams(t *testing.T) {
	t.Parallel()
	server, err := emulator.Start(emulator.Config{TokenDelay: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(newRequest(t, http.MethodPost, server.URL()+"/v1/conversations",
		`{"model":"m","inputs":"Count to 3","stream":true}`))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	for range 2 {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	}
	if s := server.Stats(); s.InFlight != 0 {
		t.Errorf("InFlight is %d after Close, want 0", s.InFlight)
	}
}

// TestCloseEndsStalls closes a server that would never respond.
func TestCloseEndsStalls(t *testing.T) {
	t.Parallel()
	server, err := emulator.Start(emulator.Config{Faults: []emulator.Fault{{Kind: emulator.FaultStall}}})
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	go func() {
		response, err := transport.RoundTrip(newRequest(t, http.MethodPost, server.URL()+"/v1/conversations", plainHello))
		if err == nil {
			_ = response.Body.Close()
		}
		failed <- err
	}()
	for server.Stats().Faults[emulator.FaultStall] == 0 {
		runtime.Gosched()
	}
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	if err := <-failed; err == nil {
		t.Error("the client received a response, want an error")
	}
}

// If the client disconnects before the response, the call ends at once. The emulator does not
// charge it or store a conversation.
func TestCancel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := emulator.New(emulator.Config{Latency: time.Hour, TokensPerMinute: 100})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		direct(ctx, e, http.MethodPost, "/v1/conversations", `{"model":"m","inputs":"x"}`)
		if got := time.Since(began); got != time.Second {
			t.Errorf("call took %s, want 1 s", got)
		}
		if m := e.Stats().Models["m"]; m.Admitted != 1 || m.Tokens != 0 {
			t.Errorf("stats are %+v", m)
		}
		if body := direct(t.Context(), e, http.MethodGet, "/v1/conversations", "").Body.String(); body != "[]" {
			t.Errorf("conversations are %s", body)
		}
	})
}

func TestIntercept(t *testing.T) {
	t.Parallel()
	fault := make(chan string, 1)
	a := start(t, emulator.Config{Intercept: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		switch <-fault {
		case "html":
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusBadGateway)
		case "cut":
			panic(http.ErrAbortHandler)
		case "hijack":
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_ = conn.Close()
		default:
			next.ServeHTTP(w, r)
		}
	}})
	for _, f := range []string{"", "html"} {
		fault <- f
		a.do(http.MethodGet, "/v1/agents", "")
	}
	for _, f := range []string{"cut", "hijack"} {
		fault <- f
		request := newRequest(t, http.MethodPost, a.URL()+"/v1/agents", `{"model":"m","name":"n"}`)
		response, err := a.client.Do(request)
		if err == nil {
			_ = response.Body.Close()
			t.Errorf("%s: status %d, want an error", f, response.StatusCode)
		}
	}
	// A client may receive a response before the handler returns.
	for len(a.Requests()) < 4 {
		runtime.Gosched()
	}
	var got []string
	for _, r := range a.Requests() {
		got = append(got, fmt.Sprint(r.Method, " ", r.Path, " ", r.Operation, " ", r.Status))
		if r.Arrived.IsZero() || r.Done.Before(r.Arrived) {
			t.Errorf("times are %s and %s", r.Arrived, r.Done)
		}
	}
	want := "GET /v1/agents ListAgents 200; GET /v1/agents  502; POST /v1/agents  0; POST /v1/agents  0"
	if strings.Join(got, "; ") != want {
		t.Errorf("requests are %s, want %s", strings.Join(got, "; "), want)
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	e := emulator.New(emulator.Config{})
	for range emulator.MaxRecorded + 1 {
		e.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/v1/agents", nil))
	}
	if got := len(e.Requests()); got != emulator.MaxRecorded {
		t.Errorf("%d requests are recorded, want %d", got, emulator.MaxRecorded)
	}
	agent := "/v1/agents/" + decoded[generated.Agent](t, direct(t.Context(), e, http.MethodPost, "/v1/agents", `{"model":"m","name":"n"}`)).ID
	direct(t.Context(), e, http.MethodPut, agent+"/aliases?alias=first&version=0", "")
	for range emulator.MaxVersions {
		direct(t.Context(), e, http.MethodPatch, agent, `{}`)
	}
	for path, want := range map[string]int{"/versions/0": 404, "/versions/first": 404, "/versions/1": 200, "/versions/1000": 200} {
		if w := direct(t.Context(), e, http.MethodGet, agent+path, ""); w.Code != want {
			t.Errorf("%s: status %d, want %d", path, w.Code, want)
		}
	}
	for i := range 1010 {
		direct(t.Context(), e, http.MethodPost, "/v1/conversations", fmt.Sprintf(`{"model":"m%d","inputs":"x"}`, i))
	}
	s := e.Stats()
	if got := len(s.Models); got > 1001 {
		t.Errorf("Stats has %d models, want at most 1001", got)
	}
	if other := s.Models["(other models)"]; other.Admitted == 0 {
		t.Errorf("stats of the other models are %+v, want some admitted", other)
	}
}

func decoded[T any](t *testing.T, w *httptest.ResponseRecorder) T {
	t.Helper()
	return read[T](fullResponse{t, w.Code, w.Header(), w.Body.String()})
}

func TestMode(t *testing.T) {
	t.Parallel()
	for _, mode := range []emulator.Mode{emulator.TokenBucket, emulator.FixedWindow, emulator.SlidingWindow} {
		text, err := mode.MarshalText()
		var got emulator.Mode
		if err := errors.Join(err, got.UnmarshalText(text)); err != nil || got != mode {
			t.Errorf("%s decodes to %s, %v", text, got, err)
		}
	}
	if err := new(emulator.Mode).UnmarshalText([]byte("x")); err == nil {
		t.Error("UnmarshalText accepted x, want an error")
	}
}
