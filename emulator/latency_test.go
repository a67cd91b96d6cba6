package emulator_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
)

// The latencies of a seed lie around their mean, differ, and are the same again.
func TestLatencySpread(t *testing.T) {
	t.Parallel()
	measure := func(seed uint64) (list []time.Duration) {
		synctest.Test(t, func(*testing.T) {
			e := emulator.New(emulator.Config{Latency: time.Second, LatencySpread: 300 * time.Millisecond, Seed: seed})
			for range 500 {
				began := time.Now()
				direct(context.Background(), e, http.MethodGet, "/v1/agents", "")
				list = append(list, time.Since(began))
			}
		})
		return list
	}
	first, again, other := measure(1), measure(1), measure(2)
	sum, least, most := time.Duration(0), first[0], first[0]
	for i, d := range first {
		sum, least, most = sum+d, min(least, d), max(most, d)
		if d != again[i] {
			t.Fatalf("call %d takes %s and %s", i, d, again[i])
		}
	}
	if mean := sum / 500; mean < 970*time.Millisecond || mean > 1030*time.Millisecond || least < 700*time.Millisecond || most > 1300*time.Millisecond || most-least < 500*time.Millisecond {
		t.Errorf("from %s to %s, mean %s", least, most, mean)
	}
	if first[0] == other[0] && first[1] == other[1] {
		t.Error("the seed has no effect")
	}
}

// A rate of tokens is that of the deltas after the first, of a plain reply too.
func TestTokensPerSecond(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{"model":"m","inputs":"Say a extraordinary b"}`, `{"model":"m","inputs":"Say a extraordinary b","stream":true}`} {
		synctest.Test(t, func(t *testing.T) {
			e := emulator.New(emulator.Config{TokensPerSecond: 2})
			began := time.Now()
			direct(context.Background(), e, http.MethodPost, "/v1/conversations", body)
			if took := time.Since(began); took != 2500*time.Millisecond { // 4 tokens and 1, at 2 a second
				t.Errorf("%s: %s", body, took)
			}
		})
	}
}

// A fault for one model leaves the calls of others alone, and those without a model.
func TestFaultOfOneModel(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{Faults: []emulator.Fault{{Kind: emulator.FaultCapacity, Model: "large"}}})
	id := a.start("Say hi").ConversationID
	a.do(http.MethodPost, "/v1/conversations", `{"model":"large","inputs":"x"}`).want(429)
	a.do(http.MethodPost, "/v1/conversations", `{"model":"small","inputs":"x"}`).want(200)
	a.do(http.MethodPost, "/v1/conversations/"+id, `{"inputs":"x"}`).want(200)
	a.do(http.MethodGet, "/v1/conversations/"+id, "").want(200)
	if m := a.Stats().Models["large"]; m.RefusedRequests != 1 {
		t.Errorf("%+v", m)
	}
}
