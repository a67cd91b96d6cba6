package runner_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner"
)

// offline is a transport without a network.
type offline struct{}

func (offline) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("the network is down")
}

// FuzzState reads any text as a state. The text is rejected with a typed error, or it can be
// encoded again unchanged and resumed without a panic.
func FuzzState(f *testing.F) {
	for _, name := range []string{"testdata/state-v1.json"} {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add(`{"version":1,"first":{"start":{"model":"m","inputs":"?"}},"request":{"start":{"model":"m","inputs":"?"}},"due":true}`)
	f.Add(`{"version":1,"first":{"append":{},"conversation_id":"c"},"request":{"append":{"inputs":[]},"conversation_id":"c"},"due":true,"lost":true,"turns":[{"response":{"outputs":[{"type":"message.output","id":"m"}]}}]}`)
	f.Add(`{"version":1,"first":{"restart":{},"conversation_id":"c"},"request":{"restart":{},"conversation_id":"c"},"turns":[{"response":{}}]}`)
	client, err := ratelimited.New(ratelimited.Config{
		APIKey: secretKey, RequestsPerSecond: 1e6, TokensPerMinute: 1e9, BareBuckets: true, MaxOutage: -1, MaxRetries: ratelimited.NoRetries,
		HTTPClient: &http.Client{Transport: offline{}},
	})
	if err != nil {
		f.Fatal(err)
	}
	defer client.Close()
	r, err := runner.New(client, runner.Config{AcceptChangedTools: true, RestartLost: true, Tools: []*runner.Tool{
		tool(f, "lookup", nothing), tool(f, "book", nothing, runner.NeedsApproval(nil)),
	}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		state := new(runner.State)
		if err := json.Unmarshal([]byte(text), state); err != nil {
			if json.Valid([]byte(text)) && text != "null" && !errors.As(err, new(*runner.StateError)) {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		var answers []runner.Answer
		for _, p := range state.Pending() {
			answers = append(answers, runner.Allow(p.ID))
		}
		if result, err := r.Resume(ctx, state, answers...); err == nil && result == nil {
			t.Errorf("%q: neither a result nor an error", text)
		}
		written, err := json.Marshal(state)
		if err != nil {
			t.Fatal(err)
		}
		again := new(runner.State)
		if err := json.Unmarshal(written, again); err != nil {
			t.Fatalf("%q is encoded as %s: %v", text, written, err)
		}
		if twice, err := json.Marshal(again); err != nil || string(twice) != string(written) {
			t.Errorf("%s is encoded as %s, %v", written, twice, err)
		}
	})
}
