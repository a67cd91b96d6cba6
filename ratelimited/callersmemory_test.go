package ratelimited_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// mutableCall is a call and the arguments that its caller can change while the call runs.
type mutableCall struct {
	args []any // pointers to the arguments
	make func(ctx context.Context, client *ratelimited.Client) error
}

// requestParts are the parts of requests that share memory with their caller.
type requestParts struct {
	args     generated.CompletionArgs
	schema   map[string]any
	metadata map[string]any
	tools    []generated.Tool
	entries  []generated.Entry
	chunks   []generated.ContentChunk
	store    *bool
}

// newRequestParts returns parts that set all kinds of fields.
func newRequestParts() *requestParts {
	s := &requestParts{
		schema:   map[string]any{"type": "object", "properties": map[string]any{"city": map[string]any{"type": "string"}}},
		metadata: map[string]any{"team": "a", "of": []any{"b", 1.5}},
		chunks:   []generated.ContentChunk{generated.NewContentChunk(generated.TextChunk{Text: "And more."})},
		store:    ratelimited.Ptr(true),
	}
	s.args = generated.CompletionArgs{
		MaxTokens: ratelimited.Ptr(17), RandomSeed: ratelimited.Ptr(3), Temperature: ratelimited.Ptr(0.25), TopP: ratelimited.Ptr(0.5),
		FrequencyPenalty: ratelimited.Ptr(0.125), PresencePenalty: ratelimited.Ptr(0.0625), Stop: generated.CompletionArgsStop{"END", "STOP"},
		ResponseFormat: generated.ResponseFormat{
			Type:       generated.ResponseFormatsJSONSchema,
			JSONSchema: generated.JSONSchema{Name: "answer", Schema: s.schema, Strict: true},
		},
	}
	s.tools = []generated.Tool{generated.NewTool(generated.FunctionTool{Function: generated.Function{Name: "f", Parameters: s.schema}})}
	s.entries = []generated.Entry{ratelimited.User("Hello!"), ratelimited.UserChunks(s.chunks...)}
	return s
}

// pointers returns pointers to the request and its parts.
func (s *requestParts) pointers(request any) []any {
	return []any{request, &s.schema, &s.metadata, &s.tools, &s.entries, &s.chunks, s.store}
}

// mutableCalls are calls of the operations that take a request or parameters. The calls set
// fields of all types.
var mutableCalls = map[string]func() mutableCall{
	"Conversations.Start": func() mutableCall {
		s := newRequestParts()
		request := generated.StartConversationRequest{
			Model: "m", Inputs: ratelimited.Entries(s.entries...), Instructions: "Be brief.", Tools: s.tools, CompletionArgs: s.args, Store: s.store, Metadata: s.metadata,
		}
		return mutableCall{s.pointers(&request), func(ctx context.Context, client *ratelimited.Client) error {
			_, err := client.Beta.Conversations.Start(ctx, request)
			return err
		}}
	},
	"Conversations.StartStream": func() mutableCall {
		s := newRequestParts()
		request := generated.StartConversationRequest{Model: "m", Inputs: ratelimited.Entries(s.entries...), Tools: s.tools, CompletionArgs: s.args, Store: s.store}
		return mutableCall{s.pointers(&request), func(ctx context.Context, client *ratelimited.Client) error {
			return readAll(client.Beta.Conversations.StartStream(ctx, request))
		}}
	},
	"Conversations.Append": func() mutableCall {
		s := newRequestParts()
		request := generated.AppendConversationRequest{Inputs: ratelimited.Entries(s.entries...), CompletionArgs: s.args, Store: s.store}
		return mutableCall{s.pointers(&request), func(ctx context.Context, client *ratelimited.Client) error {
			_, err := client.Beta.Conversations.Append(ctx, "conv_1", request)
			return err
		}}
	},
	"Conversations.AppendStream": func() mutableCall {
		s := newRequestParts()
		request := generated.AppendConversationRequest{Inputs: ratelimited.Entries(s.entries...), CompletionArgs: s.args, Store: s.store}
		return mutableCall{s.pointers(&request), func(ctx context.Context, client *ratelimited.Client) error {
			return readAll(client.Beta.Conversations.AppendStream(ctx, "conv_1", request))
		}}
	},
	"Conversations.Restart": func() mutableCall {
		s := newRequestParts()
		request := generated.RestartConversationRequest{FromEntryID: "msg_1", Inputs: ratelimited.Entries(s.entries...), CompletionArgs: s.args, Store: s.store}
		return mutableCall{s.pointers(&request), func(ctx context.Context, client *ratelimited.Client) error {
			_, err := client.Beta.Conversations.Restart(ctx, "conv_1", request)
			return err
		}}
	},
	"Conversations.RestartStream": func() mutableCall {
		s := newRequestParts()
		request := generated.RestartConversationRequest{FromEntryID: "msg_1", Inputs: ratelimited.Entries(s.entries...), CompletionArgs: s.args, Store: s.store}
		return mutableCall{s.pointers(&request), func(ctx context.Context, client *ratelimited.Client) error {
			return readAll(client.Beta.Conversations.RestartStream(ctx, "conv_1", request))
		}}
	},
	"Conversations.List": func() mutableCall {
		params := generated.ListConversationsParams{Page: ratelimited.Ptr(1), PageSize: ratelimited.Ptr(7), Metadata: &map[string]any{"team": "a"}}
		return mutableCall{[]any{&params}, func(ctx context.Context, client *ratelimited.Client) error {
			_, err := client.Beta.Conversations.List(ctx, params)
			return err
		}}
	},
	"Agents.Create": func() mutableCall {
		s := newRequestParts()
		request := generated.CreateAgentRequest{Model: "m", Name: "helper", Tools: s.tools, CompletionArgs: s.args, Metadata: s.metadata}
		return mutableCall{s.pointers(&request), func(ctx context.Context, client *ratelimited.Client) error {
			_, err := client.Beta.Agents.Create(ctx, request)
			return err
		}}
	},
	"Agents.Update": func() mutableCall {
		s := newRequestParts()
		request := generated.UpdateAgentRequest{Description: ratelimited.Ptr("helps"), Tools: s.tools, CompletionArgs: s.args, Metadata: s.metadata}
		return mutableCall{s.pointers(&request), func(ctx context.Context, client *ratelimited.Client) error {
			_, err := client.Beta.Agents.Update(ctx, "ag_1", request)
			return err
		}}
	},
	"Agents.Get": func() mutableCall {
		params := generated.GetAgentParams{AgentVersion: ratelimited.Ptr(generated.StringOrInteger("prod"))}
		return mutableCall{[]any{&params}, func(ctx context.Context, client *ratelimited.Client) error {
			_, err := client.Beta.Agents.Get(ctx, "ag_1", params)
			return err
		}}
	},
	"Agents.List": func() mutableCall {
		params := generated.ListAgentsParams{
			Page: ratelimited.Ptr(1), PageSize: ratelimited.Ptr(7), DeploymentChat: ratelimited.Ptr(true), Name: ratelimited.Ptr("helper"),
			Sources: &[]generated.RequestSource{generated.RequestSourceAPI}, Metadata: &map[string]any{"team": "a"},
		}
		return mutableCall{[]any{&params}, func(ctx context.Context, client *ratelimited.Client) error {
			_, err := client.Beta.Agents.List(ctx, params)
			return err
		}}
	},
	"Agents.ListPages": func() mutableCall {
		params := generated.ListAgentPagesParams{
			PageSize: ratelimited.Ptr(7), PageToken: ratelimited.Ptr("next"), Search: ratelimited.Ptr("help"), Sources: &[]generated.RequestSource{generated.RequestSourceAPI},
		}
		return mutableCall{[]any{&params}, func(ctx context.Context, client *ratelimited.Client) error {
			_, err := client.Beta.Agents.ListPages(ctx, params)
			return err
		}}
	},
	"Agents.ListVersions": func() mutableCall {
		params := generated.ListAgentVersionsParams{Page: ratelimited.Ptr(1), PageSize: ratelimited.Ptr(7)}
		return mutableCall{[]any{&params}, func(ctx context.Context, client *ratelimited.Client) error {
			_, err := client.Beta.Agents.ListVersions(ctx, "ag_1", params)
			return err
		}}
	},
}

// readAll reads a stream to its end.
func readAll(stream *ratelimited.Stream, err error) error {
	if err == nil {
		_, err = collect(stream)
	}
	return err
}

// mutableCalls contains every method that takes a request or parameters.
func TestMutableCallsAreComplete(t *testing.T) {
	t.Parallel()
	var want []string
	for name, service := range map[string]reflect.Type{
		"Conversations": reflect.TypeFor[*ratelimited.Conversations](), "Agents": reflect.TypeFor[*ratelimited.Agents](),
	} {
		for i := range service.NumMethod() {
			m := service.Method(i)
			for n := range m.Type.NumIn() {
				if in := m.Type.In(n); m.Name != "All" && n > 0 && in.Kind() == reflect.Struct {
					want = append(want, name+"."+m.Name)
				}
			}
		}
	}
	var got []string
	for name := range mutableCalls {
		got = append(got, name)
	}
	wantSame(t, "methods", got, want, 13)
}

// The caller's observer and transport change the arguments while the call runs. Each attempt must
// still send the original arguments, and the call must settle the same tokens.
func TestCallersMemory(t *testing.T) {
	for name, newCall := range mutableCalls {
		t.Run(name, func(t *testing.T) {
			wantRequests, wantSettled := recordRequests(t, newCall(), false)
			requests, settled := recordRequests(t, newCall(), true)
			if len(wantRequests) != 3 || wantRequests[0] != wantRequests[2] {
				t.Fatalf("requests without changes are\n%s\nwant three equal requests", strings.Join(wantRequests, "\n"))
			}
			if !slices.Equal(requests, wantRequests) {
				t.Errorf("requests are\n%s\nwant\n%s", strings.Join(requests, "\n"), strings.Join(wantRequests, "\n"))
			}
			if settled != wantSettled {
				t.Errorf("settled as %+v, want %+v", settled, wantSettled)
			}
		})
	}
}

// recordRequests makes a call whose first two attempts fail. It returns the requests and the
// settlement. With change set, the observer and the transport change the arguments.
func recordRequests(t *testing.T, call mutableCall, change bool) (requests []string, settled ratelimited.Settled) {
	var mu sync.Mutex
	changeOnce := func() {
		mu.Lock()
		defer mu.Unlock()
		for _, arg := range call.args {
			mutate(reflect.ValueOf(arg))
		}
	}
	changeArguments := func() {
		if change {
			changeOnce()
			go changeOnce() // so that the race detector reports later reads by the call
		}
	}
	config := fast
	config.Observer = func(context.Context, string) (context.Context, func(ratelimited.CallEvent)) {
		changeArguments()
		return nil, func(event ratelimited.CallEvent) {
			changeArguments()
			if s, ok := event.(ratelimited.Settled); ok {
				settled = s
			}
		}
	}
	transport := func(r *http.Request) (*http.Response, error) {
		changeArguments()
		var body []byte
		if r.Body != nil {
			var err error
			if body, err = io.ReadAll(r.Body); err != nil {
				return nil, err
			}
		}
		requests = append(requests, fmt.Sprintf("%s %s %d %v %s", r.Method, r.URL, r.ContentLength, r.Header, body))
		if change { // http.RoundTripper forbids this, but a transport can do it
			clear(r.Header)
			r.URL.Path, r.URL.RawQuery, r.Method = "/elsewhere", "", "TRACE"
		}
		switch {
		case len(requests) < 3:
			return newResponse(503, "application/json", `{}`), nil
		case r.Header.Get("Accept") == "text/event-stream" || strings.Contains(string(body), `"stream":true`):
			return newResponse(200, "text/event-stream", started+hello), nil // the client counts the received events
		}
		return newResponse(200, "application/json", `[]`), nil
	}
	runWithTransport(t, config, roundTripperFunc(transport), func(t *testing.T, client *ratelimited.Client) {
		_ = call.make(t.Context(), client) // most operations fail with this response
		time.Sleep(time.Second)
	})
	return requests, settled
}

// mutate changes every value that v leads to.
func mutate(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			mutate(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				mutate(v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			mutate(v.Index(i))
			v.Index(i).SetZero()
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			mutate(v.MapIndex(key))
		}
		v.Clear()
		v.SetMapIndex(reflect.ValueOf("changed").Convert(v.Type().Key()), reflect.ValueOf("changed"))
	case reflect.Int:
		if v.CanSet() {
			v.SetInt(v.Int() + 1)
		}
	case reflect.Float64:
		if v.CanSet() {
			v.SetFloat(v.Float() + 1)
		}
	case reflect.Bool:
		if v.CanSet() {
			v.SetBool(!v.Bool())
		}
	case reflect.String:
		if v.CanSet() {
			v.SetString(v.String() + " changed")
		}
	default:
		if v.CanSet() {
			v.SetZero()
		}
	}
}
