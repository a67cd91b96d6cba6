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
		t.Errorf("requests are %v", got)
	}
	if got := emulatortest.Requests[generated.AppendConversationRequest](t, server); got != nil {
		t.Errorf("appended %v", got)
	}
}

// 600 calls at one a second take ten minutes, of virtual time.
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
			t.Errorf("it took %s", took)
		}
		if total := server.Stats().Total(); total.Admitted != 600 || total.Refused() != 0 {
			t.Errorf("%+v", total)
		}
	}, emulatortest.WithServer(emulator.Config{RequestsPerSecond: 1, Mode: emulator.SlidingWindow}))
}

// A stream with half a minute between two words.
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

// The server is down for a while: connections are refused, and the client waits.
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

// failing is a test that fails, and what it says.
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

// A request that differs from the document fails the test, which prints what was exchanged.
func TestFailureShowsTheExchanges(t *testing.T) {
	t.Parallel()
	f := &failing{TB: t}
	client, _ := emulatortest.New(f)
	request := say("a " + emulatortest.Key)
	request.CompletionArgs.Temperature = ratelimited.Ptr(9.0)
	var refused *ratelimited.APIError
	if _, err := client.Beta.Conversations.Start(t.Context(), request); !errors.As(err, &refused) || refused.StatusCode != 422 {
		t.Errorf("error is %v", err)
	}
	for i := range f.cleanups {
		f.cleanups[len(f.cleanups)-1-i]()
	}
	for _, want := range []string{
		"/completion_args/temperature: maximum", "1 requests were sent", "→ POST /v1/conversations {", `"temperature":9`,
		"← 422 Unprocessable Entity", "less than or equal to 1", "Say a [key]",
	} {
		if !strings.Contains(f.log.String(), want) {
			t.Errorf("%q is not in %s", want, &f.log)
		}
	}
	if strings.Contains(f.log.String(), emulatortest.Key) {
		t.Errorf("the key is in %s", &f.log)
	}
}

// A step that is never used fails the test, and so does a request that nothing fits.
func TestScriptIsChecked(t *testing.T) {
	t.Parallel()
	f := &failing{TB: t}
	client, _ := emulatortest.New(f, emulatortest.WithScript(emulator.Rule{Model: "other", Step: emulator.Say("a")}, emulator.Say("b")))
	for _, want := range []bool{true, false} {
		if _, err := client.Beta.Conversations.Start(t.Context(), say("hello")); (err == nil) != want {
			t.Errorf("error is %v", err)
		}
	}
	for i := range f.cleanups {
		f.cleanups[len(f.cleanups)-1-i]()
	}
	for _, want := range []string{
		`script: no rule or step matches "Say hello" (model mistral-small-latest, turn 1); 1 of 1 steps have been used; the nearest is rule 1 (replies "a"): it is for model other`,
		`script: rule 1 (replies "a") was never used`,
	} {
		if !strings.Contains(f.log.String(), want) {
			t.Errorf("%q is not in %s", want, &f.log)
		}
	}
}

// A reply that is lost has been carried out: the append that the client repeats is there
// twice.
func TestLostReply(t *testing.T) {
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
					for _, failed := range stream.Events() {
						err = errors.Join(err, failed)
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
				t.Errorf("%d entries, %v, want %d", len(history.Entries), err, want)
			}
		}
		if s := server.Stats(); s.Total().Admitted != 1+4+2 || s.Statuses[0] != 2 || s.Models["mistral-small-latest"].Tokens == 0 {
			t.Errorf("%+v", s)
		}
	})
}

// The limit of one model in the emulator is the client's limit for that model, unless the test
// sets another.
func TestLimitsOfOneModel(t *testing.T) {
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

// What the options cannot change is refused.
func TestOptionsThatContradict(t *testing.T) {
	t.Parallel()
	for want, options := range map[string][]emulatortest.Option{
		"BaseURL and HTTPClient must not be set": {emulatortest.WithClient(func(c *ratelimited.Config) { c.HTTPClient = http.DefaultClient })},
		"must not be used with a Model":          {emulatortest.WithScript(emulator.Say("a")), emulatortest.WithServer(emulator.Config{Model: emulator.DefaultModel})},
	} {
		f := &failing{TB: t}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			emulatortest.New(f, options...)
		}()
		<-ended
		if !strings.Contains(f.log.String(), want) {
			t.Errorf("it says %q, want %q", &f.log, want)
		}
	}
}
