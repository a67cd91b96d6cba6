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

// scenario is one kind of traffic, with a separate client and emulator.
type scenario struct {
	name string
	// unique is an item that only this scenario exercises.
	unique item
	// config is the emulator's configuration.
	config   emulator.Config
	exercise func(s *env)
}

// run runs a scenario in virtual time and returns the items that it exercised.
func (c scenario) run(t *testing.T, doc *document) marks {
	t.Helper()
	var exercised marks
	synctest.Test(t, func(t *testing.T) {
		c.config.OnViolation = func(err error) { t.Errorf("the emulator violated the document: %v", err) }
		server := memnet.Start(emulator.New(c.config))
		defer server.Close()
		recorder, err := newRecorder(doc, server.Client().Transport)
		if err != nil {
			t.Fatal(err)
		}
		checked := contract.Client(t, recorder)
		client, err := ratelimited.New(ratelimited.Config{
			APIKey: "any", BaseURL: server.URL(), HTTPClient: checked, MaxRetries: ratelimited.NoRetries,
		})
		if err != nil {
			t.Fatal(err)
		}
		c.exercise(&env{T: t, Beta: client.Beta, http: checked, url: server.URL(), recorder: recorder})
		if exercised, err = recorder.exercised(); err != nil {
			t.Error(err)
		}
	})
	return exercised
}

// env holds the client and the server of a scenario. Package contract checks all traffic:
// each violation fails the test.
type env struct {
	*testing.T
	ratelimited.Beta
	http     *http.Client // for requests without the SDK's client
	url      string
	recorder *recorder
}

// result holds the results of a call.
type result[T any] struct {
	value T
	err   error
}

func got[T any](value T, err error) result[T] { return result[T]{value, err} }

// check returns the value. It fails the test if the call failed, or if the client did not
// decode the whole response.
func (r result[T]) check(s *env) T {
	s.Helper()
	if r.err != nil {
		s.Fatal(r.err)
	}
	s.checkDecoded(s.recorder.latest(), r.value)
	return r.value
}

// readStream reads a stream to its end. It returns the response, and the error that ended
// the stream. It fails the test if the client did not decode an event completely.
func (s *env) readStream(stream *ratelimited.Stream, err error) (*generated.ConversationResponse, error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
	var list []sse.Event
	for event, eventErr := range stream.Events() {
		if err = eventErr; event != nil {
			list = append(list, event)
		}
	}
	sent := frames(string(s.recorder.latest()))
	if err == nil && len(list) != len(sent) || len(list) > len(sent) {
		s.Fatalf("the server sent %d events, and the client returned %d", len(sent), len(list))
	}
	for i, event := range list {
		s.checkDecoded([]byte(sent[i].data), event)
	}
	return stream.Response(), err
}

// readWholeStream reads a stream that must end without an error.
func (s *env) readWholeStream(stream *ratelimited.Stream, err error) *generated.ConversationResponse {
	s.Helper()
	response, err := s.readStream(stream, err)
	if err != nil {
		s.Fatal(err)
	}
	return response
}

// startBoth starts a conversation twice, with and without streaming. Both responses must
// be equal. It returns the one without streaming.
func (s *env) startBoth(request generated.StartConversationRequest) *generated.ConversationResponse {
	s.Helper()
	streamed := s.readWholeStream(s.Conversations.StartStream(s.Context(), request))
	plain := got(s.Conversations.Start(s.Context(), request)).check(s)
	equal(s, "the streamed response", summary(streamed), summary(plain))
	return plain
}

// replay starts a conversation with the received entries of another one.
func (s *env) replay(id string) {
	s.Helper()
	entries := got(s.Conversations.GetHistory(s.Context(), id)).check(s).Entries
	replayed := got(s.Conversations.Start(s.Context(), generated.StartConversationRequest{
		Model: model, Inputs: ratelimited.Entries(append(entries[:len(entries):len(entries)], results(entries)...)...), HandoffExecution: generated.HandoffExecutionClient,
	})).check(s)
	copied := got(s.Conversations.GetHistory(s.Context(), replayed.ConversationID)).check(s).Entries
	equal(s, "the replayed history", fmt.Sprint(fieldsJSON(reflect.ValueOf(copied[:len(entries)]))), fmt.Sprint(fieldsJSON(reflect.ValueOf(entries))))
}

// results returns a result for each function call that is not subject to a confirmation.
func results(entries []generated.Entry) []generated.Entry {
	var list []generated.Entry
	for _, entry := range entries {
		if call, ok := entry.Value().(generated.FunctionCallEntry); ok && call.ConfirmationStatus == "" {
			list = append(list, ratelimited.FunctionResult(call.ToolCallID, "done"))
		}
	}
	return list
}

// equal fails the test if two values differ.
func equal[T any](s *env, name string, got, want T) {
	s.Helper()
	if !reflect.DeepEqual(got, want) {
		s.Errorf("%s is %+v, want %+v", name, got, want)
	}
}
