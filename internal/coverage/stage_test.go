package coverage_test

import (
	"fmt"
	"net/http"
	"reflect"
	"testing"
	"testing/synctest"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/contract"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/memnet"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/sse"
)

// scenario is traffic of one kind, with a client and an emulator of its own.
type scenario struct {
	name string
	// alone is an item that no other scenario exercises: why this one is there.
	alone item
	// config is the emulator's.
	config emulator.Config
	play   func(s *stage)
}

// run plays a scenario and returns what it exercised. It takes place in virtual time:
// no limit is waited for.
func (c scenario) run(t *testing.T, doc *document) marks {
	t.Helper()
	var exercised marks
	synctest.Test(t, func(t *testing.T) {
		c.config.OnViolation = func(err error) { t.Errorf("the emulator sends %v", err) }
		server := memnet.Start(emulator.New(c.config))
		defer server.Close()
		recorder, err := newRecorder(doc, server.Client().Transport)
		if err != nil {
			t.Fatal(err)
		}
		strict := contract.Client(t, recorder)
		client, err := ratelimited.New(ratelimited.Config{
			APIKey: "any", BaseURL: server.URL(), HTTPClient: strict, MaxRetries: ratelimited.NoRetries,
		})
		if err != nil {
			t.Fatal(err)
		}
		c.play(&stage{T: t, Beta: client.Beta, http: strict, url: server.URL(), recorder: recorder})
		if exercised, err = recorder.exercised(); err != nil {
			t.Error(err)
		}
	})
	return exercised
}

// stage is what a scenario plays on. All traffic passes package contract, a violation
// of which is an error of the test.
type stage struct {
	*testing.T
	ratelimited.Beta
	http     *http.Client // for requests that are not the client's
	url      string
	recorder *recorder
}

// result is what a call returned.
type result[T any] struct {
	value T
	err   error
}

func got[T any](value T, err error) result[T] { return result[T]{value, err} }

// on returns the value, of which the client must have understood and kept all that
// came.
func (r result[T]) on(s *stage) T {
	s.Helper()
	if r.err != nil {
		s.Fatal(r.err)
	}
	s.kept(s.recorder.latest(), r.value)
	return r.value
}

// stream reads a stream to its end and returns its reply and what ended it. All its
// events must have been understood and kept; one that reports an error is that error.
func (s *stage) stream(stream *ratelimited.Stream, err error) (*generated.ConversationResponse, error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
	var list []sse.Event
	for event, failed := range stream.Events() {
		if err = failed; event != nil {
			list = append(list, event)
		}
	}
	came := frames(string(s.recorder.latest()))
	if err == nil && len(list) != len(came) || len(list) > len(came) {
		s.Fatalf("%d events came and %d were read", len(came), len(list))
	}
	for i, event := range list {
		s.kept([]byte(came[i].data), event)
	}
	return stream.Response(), err
}

// streams reads a stream that has to end well.
func (s *stage) streams(stream *ratelimited.Stream, err error) *generated.ConversationResponse {
	s.Helper()
	response, err := s.stream(stream, err)
	if err != nil {
		s.Fatal(err)
	}
	return response
}

// start starts the same conversation plain and streamed, of which the replies must be
// the same, and returns the plain one.
func (s *stage) start(request generated.StartConversationRequest) *generated.ConversationResponse {
	s.Helper()
	streamed := s.streams(s.Conversations.StartStream(s.Context(), request))
	plain := got(s.Conversations.Start(s.Context(), request)).on(s)
	same(s, "the streamed reply", essence(streamed), essence(plain))
	return plain
}

// moves takes a conversation elsewhere: its entries, as they were received, are the
// inputs of another.
func (s *stage) moves(id string) {
	s.Helper()
	entries := got(s.Conversations.GetHistory(s.Context(), id)).on(s).Entries
	moved := got(s.Conversations.Start(s.Context(), generated.StartConversationRequest{
		Model: model, Inputs: ratelimited.Entries(append(entries[:len(entries):len(entries)], results(entries)...)...), HandoffExecution: generated.HandoffExecutionClient,
	})).on(s)
	arrived := got(s.Conversations.GetHistory(s.Context(), moved.ConversationID)).on(s).Entries
	same(s, "the history that was moved", fmt.Sprint(bare(reflect.ValueOf(arrived[:len(entries)]))), fmt.Sprint(bare(reflect.ValueOf(entries))))
}

// results answers the calls that have none.
func results(entries []generated.Entry) []generated.Entry {
	var list []generated.Entry
	for _, entry := range entries {
		if call, ok := entry.Value().(generated.FunctionCallEntry); ok && call.ConfirmationStatus == "" {
			list = append(list, ratelimited.FunctionResult(call.ToolCallID, "done"))
		}
	}
	return list
}

// same fails the test when two values differ.
func same[T any](s *stage, what string, have, want T) {
	s.Helper()
	if !reflect.DeepEqual(have, want) {
		s.Errorf("%s: have %+v, want %+v", what, have, want)
	}
}
