package emulatortest_test

import (
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulatortest"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

func say(text string) generated.StartConversationRequest {
	return generated.StartConversationRequest{Model: "mistral-small-latest", Inputs: ratelimited.Text("Say " + text)}
}

func TestNew(t *testing.T) {
	t.Parallel()
	client, server := emulatortest.New(t, emulatortest.WithServer(emulator.Config{
		Faults: []emulator.Fault{{Kind: emulator.FaultUnavailable, Times: 2}},
	}))
	response, err := client.Beta.Conversations.Start(t.Context(), say("hello"))
	if err != nil || response.OutputText() != "hello" {
		t.Fatalf("%v, %v", response, err)
	}
	if got := emulatortest.Requests[generated.StartConversationRequest](t, server); len(got) != 3 || got[2].Model != "mistral-small-latest" {
		t.Errorf("start requests are %v, want 3", got)
	}
	if got := emulatortest.Requests[generated.AppendConversationRequest](t, server); got != nil {
		t.Errorf("append requests are %v, want none", got)
	}
}

// 600 calls at 1 call/s take ten minutes of virtual time.
func TestRunTakesVirtualTime(t *testing.T) {
	t.Parallel()
	emulatortest.Run(t, func(t *testing.T, client *ratelimited.Client, server *emulator.Server) {
		began := time.Now()
		for range 600 {
			if _, err := client.Beta.Conversations.Start(t.Context(), say("hi")); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took < 599*time.Second {
			t.Errorf("600 calls took %s, want at least 599 s", took)
		}
		if total := server.Stats().Total(); total.Admitted != 600 || total.Refused() != 0 {
			t.Errorf("%+v", total)
		}
	}, emulatortest.WithServer(emulator.Config{RequestsPerSecond: 1, Mode: emulator.SlidingWindow}))
}

// The emulator waits 30 s between two words of a stream.
func TestRunStreams(t *testing.T) {
	t.Parallel()
	emulatortest.Run(t, func(t *testing.T, client *ratelimited.Client, _ *emulator.Server) {
		began := time.Now()
		stream, err := client.Beta.Conversations.StartStream(t.Context(), say("one two three"))
		if err != nil {
			t.Fatal(err)
		}
		var words []string
		for text, err := range stream.TextDeltas() {
			if err != nil {
				t.Fatal(err)
			}
			words = append(words, text)
		}
		if strings.Join(words, "|") != "one| two| three" || time.Since(began) != time.Minute {
			t.Errorf("%q after %s", words, time.Since(began))
		}
	}, emulatortest.WithServer(emulator.Config{TokenDelay: 30 * time.Second}))
}

// The server refuses connections for 2 s, and the client waits.
func TestRunRefusesConnections(t *testing.T) {
	t.Parallel()
	emulatortest.Run(t, func(t *testing.T, client *ratelimited.Client, server *emulator.Server) {
		response, err := client.Beta.Conversations.Start(t.Context(), say("hello"))
		if err != nil || response.OutputText() != "hello" || server.Stats().Faults[emulator.FaultRefuse] != 1 {
			t.Errorf("%v, %v, %+v", response, err, server.Stats())
		}
	}, emulatortest.WithServer(emulator.Config{Faults: []emulator.Fault{{Kind: emulator.FaultRefuse, Delay: 2 * time.Second, Times: 1}}}))
}

func TestUnchecked(t *testing.T) {
	t.Parallel()
	client, _ := emulatortest.New(t, emulatortest.Unchecked(), emulatortest.WithServer(emulator.Config{
		Faults: []emulator.Fault{{Kind: emulator.FaultUnknownFields}},
	}))
	if response, err := client.Beta.Conversations.Start(t.Context(), say("hello")); err != nil || response.OutputText() != "hello" {
		t.Errorf("%v, %v", response, err)
	}
}

// failing is a testing.TB that records failures and log output.
type failing struct {
	testing.TB
	cleanups []func()
	failed   bool
	log      strings.Builder
}

func (f *failing) Helper()           {}
func (f *failing) Cleanup(do func()) { f.cleanups = append(f.cleanups, do) }
func (f *failing) Failed() bool      { return f.failed }
func (f *failing) Log(args ...any)   { _, _ = fmt.Fprintln(&f.log, args...) }
func (f *failing) Fatal(args ...any) {
	f.Log(args...)
	runtime.Goexit()
}
func (f *failing) Errorf(format string, args ...any) {
	f.failed = true
	_, _ = fmt.Fprintf(&f.log, format+"\n", args...)
}

// A request that violates the document fails the test. The failed test logs its requests and
// responses, and redacts the API key.
func TestFailureLogsTheExchanges(t *testing.T) {
	t.Parallel()
	f := &failing{TB: t}
	client, _ := emulatortest.New(f)
	request := say("a " + emulatortest.Key)
	request.CompletionArgs.Temperature = ratelimited.Ptr(9.0)
	var apiErr *ratelimited.APIError
	if _, err := client.Beta.Conversations.Start(t.Context(), request); !errors.As(err, &apiErr) || apiErr.StatusCode != 422 {
		t.Errorf("error is %v, want status 422", err)
	}
	for i := range f.cleanups {
		f.cleanups[len(f.cleanups)-1-i]()
	}
	for _, want := range []string{
		"/completion_args/temperature: maximum", "1 requests, the last 1 of them:", "→ POST /v1/conversations {", `"temperature":9`,
		"← 422 Unprocessable Entity", "less than or equal to 1", "Say a [key]",
	} {
		if !strings.Contains(f.log.String(), want) {
			t.Errorf("%q is not in %s", want, &f.log)
		}
	}
	if strings.Contains(f.log.String(), emulatortest.Key) {
		t.Errorf("the API key is in %s", &f.log)
	}
}

// The test fails if a step is never used, or if a request matches none of the rules and
// steps.
func TestScriptIsChecked(t *testing.T) {
	t.Parallel()
	f := &failing{TB: t}
	client, _ := emulatortest.New(f, emulatortest.WithScript(emulator.Rule{Model: "other", Step: emulator.Say("a")}, emulator.Say("b")))
	for i, succeeds := range []bool{true, false} {
		if _, err := client.Beta.Conversations.Start(t.Context(), say("hello")); (err == nil) != succeeds {
			t.Errorf("call %d: error is %v, want success %t", i+1, err, succeeds)
		}
	}
	for i := range f.cleanups {
		f.cleanups[len(f.cleanups)-1-i]()
	}
	for _, want := range []string{
		`script: no rule or step matches "Say hello" (model mistral-small-latest, turn 1); all steps (1) have been used; the nearest is rule 1 (replies "a"): it is for model other`,
		`script: rule 1 (replies "a") was never used`,
	} {
		if !strings.Contains(f.log.String(), want) {
			t.Errorf("%q is not in %s", want, &f.log)
		}
	}
}

// The server executes a request although its response is lost. The client retries the
// append, so the conversation has its entries twice.
func TestLostResponse(t *testing.T) {
	t.Parallel()
	emulatortest.Run(t, func(t *testing.T, client *ratelimited.Client, server *emulator.Server) {
		conversations := client.Beta.Conversations
		started, err := conversations.Start(t.Context(), say("hi"))
		if err != nil {
			t.Fatal(err)
		}
		id := started.ConversationID
		more := generated.AppendConversationRequest{Inputs: ratelimited.Text("Say more")}
		for i, call := range []func() error{
			func() error { _, err := conversations.Append(t.Context(), id, more); return err },
			func() error {
				stream, err := conversations.AppendStream(t.Context(), id, more)
				if err == nil {
					for _, eventErr := range stream.Events() {
						err = errors.Join(err, eventErr)
					}
				}
				return err
			},
		} {
			if err := server.SetFaults(emulator.Fault{Kind: emulator.FaultLostReply, Times: 1}); err != nil {
				t.Fatal(err)
			}
			if err := call(); err != nil {
				t.Fatal(err)
			}
			history, err := conversations.GetHistory(t.Context(), id)
			if want := 2 + 4*(i+1); err != nil || len(history.Entries) != want {
				t.Errorf("history has %d entries, %v, want %d", len(history.Entries), err, want)
			}
		}
		if s := server.Stats(); s.Total().Admitted != 1+4+2 || s.Statuses[0] != 2 || s.Models["mistral-small-latest"].Tokens == 0 {
			t.Errorf("%+v", s)
		}
	})
}

// The client uses the emulator's per-model limit, unless the test sets another.
func TestLimitsByModel(t *testing.T) {
	t.Parallel()
	server := emulator.Config{Mode: emulator.SlidingWindow, Limits: map[string]emulator.Limit{
		"mistral-small-latest": {RequestsPerSecond: 0.5}, emulator.NoModel: {RequestsPerSecond: 100},
	}}
	for want, option := range map[time.Duration]emulatortest.Option{
		8 * time.Second: emulatortest.WithClient(func(*ratelimited.Config) {}),
		40 * time.Second: emulatortest.WithClient(func(c *ratelimited.Config) {
			c.Limits = map[string]limiter.Limit{"mistral-small-latest": {RequestsPerSecond: 0.1, TokensPerMinute: 1000}}
		}),
	} {
		emulatortest.Run(t, func(t *testing.T, client *ratelimited.Client, server *emulator.Server) {
			began := time.Now()
			for range 5 {
				if _, err := client.Beta.Conversations.Start(t.Context(), say("hi")); err != nil {
					t.Fatal(err)
				}
			}
			if took := time.Since(began).Round(2 * time.Second); took != want || server.Stats().Total().Refused() > 0 {
				t.Errorf("five calls took %s, want %s: %+v", took, want, server.Stats().Total())
			}
		}, emulatortest.WithServer(server), option)
	}
}

// New rejects options that contradict each other.
func TestConflictingOptions(t *testing.T) {
	t.Parallel()
	for want, options := range map[string][]emulatortest.Option{
		"BaseURL and HTTPClient must not be set": {emulatortest.WithClient(func(c *ratelimited.Config) { c.HTTPClient = http.DefaultClient })},
		"Model of WithServer must not be set":    {emulatortest.WithScript(emulator.Say("a")), emulatortest.WithServer(emulator.Config{Model: emulator.DefaultModel})},
	} {
		f := &failing{TB: t}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			emulatortest.New(f, options...)
		}()
		<-ended
		if !strings.Contains(f.log.String(), want) {
			t.Errorf("log is %q, want %q in it", &f.log, want)
		}
	}
}
