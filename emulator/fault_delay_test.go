package emulator_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/memnet"
)

// TestSlowFaults checks the duration of each slow fault in virtual time.
func TestSlowFaults(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		fault      emulator.Fault
		head, body time.Duration // the time from the request to the end of each
	}{
		{emulator.Fault{Kind: emulator.FaultSlowHeaders, Delay: 3 * time.Second}, 3 * time.Second, 3 * time.Second},
		{emulator.Fault{Kind: emulator.FaultUnavailable, Delay: time.Minute}, time.Minute, time.Minute},
		{emulator.Fault{Kind: emulator.FaultSlowBody, Delay: time.Second}, 0, time.Second}, // The body is two bytes.
		{emulator.Fault{Kind: emulator.FaultSlowBody, Delay: time.Second, Bytes: 2}, 0, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			server := memnet.Start(emulator.New(emulator.Config{Faults: []emulator.Fault{test.fault}}))
			defer server.Close()
			began := time.Now()
			response, err := server.Client().Do(newRequest(t, http.MethodGet, server.URL()+"/v1/agents", ""))
			if err != nil {
				t.Fatal(err)
			}
			head := time.Since(began)
			_, err = io.Copy(io.Discard, response.Body)
			if body := time.Since(began); err != nil || head != test.head || body != test.body {
				t.Errorf("%+v: head after %s, body after %s, %v", test.fault, head, body, err)
			}
			_ = response.Body.Close()
		})
	}
}

// TestStall disconnects the client after 5 s. The emulator then ends the request.
func TestStall(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		fault emulator.Fault
		body  string
		want  int // tokens
		read  string
	}{
		{emulator.Fault{Kind: emulator.FaultStall}, plainHello, 0, ""},
		{emulator.Fault{Kind: emulator.FaultStall, Operation: "StartConversationStream"}, streamHello, 0, ""},
		{emulator.Fault{Kind: emulator.FaultStallStream, Events: 2}, streamHello, 3 + 2 + 1 + 1 + 1, `"content":"1"`},
	} {
		synctest.Test(t, func(t *testing.T) {
			e := emulator.New(emulator.Config{Faults: []emulator.Fault{test.fault}})
			server := memnet.Start(e)
			defer server.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			began := time.Now()
			response, err := server.Client().Do(newRequest(t, http.MethodPost, server.URL()+"/v1/conversations", test.body).WithContext(ctx))
			var data []byte
			if err == nil {
				data, err = io.ReadAll(response.Body)
				_ = response.Body.Close()
			}
			if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took != 5*time.Second || !strings.Contains(string(data), test.read) {
				t.Errorf("%s: %q, %v after %s", test.fault.Kind, data, err, took)
			}
			synctest.Wait() // for the handler
			if s := e.Stats(); s.InFlight != 0 || s.Models["m"].Tokens != test.want {
				t.Errorf("%s: stats are %+v", test.fault.Kind, s)
			}
		})
	}
}

// If the handler cannot access the connection, faults that close it panic with
// http.ErrAbortHandler.
func TestConnectionFaultsWithoutConnection(t *testing.T) {
	t.Parallel()
	for _, kind := range []emulator.FaultKind{emulator.FaultClose, emulator.FaultReset, emulator.FaultResetAfterHeaders, emulator.FaultResetStream} {
		e := emulator.New(emulator.Config{Faults: []emulator.Fault{{Kind: kind}}})
		func() {
			defer func() {
				if err, ok := recover().(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
					t.Errorf("%s: panic is %v", kind, err)
				}
			}()
			direct(t.Context(), e, http.MethodPost, "/v1/conversations", streamHello)
		}()
		if s := e.Stats(); s.InFlight != 0 || s.Faults[kind] != 1 {
			t.Errorf("%s: stats are %+v", kind, s)
		}
	}
}
