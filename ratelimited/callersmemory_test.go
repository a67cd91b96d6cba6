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

// An ownedCall is a call with the memory that its caller may change while it is under way.
type ownedCall struct {
	args []any
	make func(ctx context.Context, client *ratelimited.Client) error
}

// settings are the parts of requests that have memory of their own.
type settings struct {
	args     generated.CompletionArgs
	schema   map[string]any
	metadata map[string]any
	tools    []generated.Tool
	entries  []generated.Entry
	chunks   []generated.ContentChunk
	store    *bool
}

func newSettings() *settings {
	s := &settings{
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

func (s *settings) memory(request any) []any {
	return []any{request, &s.schema, &s.metadata, &s.tools, &s.entries, &s.chunks, s.store}
}

// ownedCalls are the operations that take more than ids, each with all kinds of fields.
var ownedCalls = map[string]func() ownedCall{
	"Conversations.Start": func() ownedCall {
		s := newSettings()
		request := generated.StartConversationRequest{
			Model: "m", Inputs: ratelimited.Entries(s.entries...), Instructions: "Be brief.", Tools: s.tools, CompletionArgs: s.args, Store: s.store, Metadata: s.metadata,
		}
		return ownedCall{s.memory(&request), func(ctx context.Context, client *ratelimited.Client) error {
			_, err := client.Beta.Conversations.Start(ctx, request)
			return err
		}}
	},
	"Conversations.StartStream": func() ownedCall {
		s := newSettings()
		request := generated.StartConversationRequest{Model: "m", Inputs: ratelimited.Entries(s.entries...), Tools: s.tools, CompletionArgs: s.args, Store: s.store}
		return ownedCall{s.memory(&request), func(ctx context.Context, client *ratelimited.Client) error {
			return readAll(client.Beta.Conversations.StartStream(ctx, request))
		}}
	},
	"Conversations.Append": func() ownedCall {
		s := newSettings()
		request := generated.AppendConversationRequest{Inputs: ratelimited.Entries(s.entries...), CompletionArgs: s.args, Store: s.store}
		return ownedCall{s.memory(&request), func(ctx context.Context, client *ratelimited.Client) error {
			_, err := client.Beta.Conversations.Append(ctx, "conv_1", request)
			return err
		}}
	},
	"Conversations.AppendStream": func() ownedCall {
		s := newSettings()
		request := generated.AppendConversationRequest{Inputs: ratelimited.Entries(s.entries...), CompletionArgs: s.args, Store: s.store}
		return ownedCall{s.memory(&request), func(ctx context.Context, client *ratelimited.Client) error {
			return readAll(client.Beta.Conversations.AppendStream(ctx, "conv_1", request))
		}}
	},
	"Conversations.Restart": func() ownedCall {
		s := newSettings()
		request := generated.RestartConversationRequest{FromEntryID: "msg_1", Inputs: ratelimited.Entries(s.entries...), CompletionArgs: s.args, Store: s.store}
		return ownedCall{s.memory(&request), func(ctx context.Context, client *ratelimited.Client) error {
			_, err := client.Beta.Conversations.Restart(ctx, "conv_1", request)
			return err
		}}
	},
	"Conversations.RestartStream": func() ownedCall {
		s := newSettings()
		request := generated.RestartConversationRequest{FromEntryID: "msg_1", Inputs: ratelimited.Entries(s.entries...), CompletionArgs: s.args, Store: s.store}
		return ownedCall{s.memory(&request), func(ctx context.Context, client *ratelimited.Client) error {
			return readAll(client.Beta.Conversations.RestartStream(ctx, "conv_1", request))
		}}
	},
	"Conversations.List": func() ownedCall {
		params := generated.ListConversationsParams{Page: ratelimited.Ptr(1), PageSize: ratelimited.Ptr(7), Metadata: &map[string]any{"team": "a"}}
		return ownedCall{[]any{&params}, func(ctx context.Context, client *ratelimited.Client) error {
			_, err := client.Beta.Conversations.List(ctx, params)
			return err
		}}
	},
	"Agents.Create": func() ownedCall {
		s := newSettings()
		request := generated.CreateAgentRequest{Model: "m", Name: "helper", Tools: s.tools, CompletionArgs: s.args, Metadata: s.metadata}
		return ownedCall{s.memory(&request), func(ctx context.Context, client *ratelimited.Client) error {
			_, err := client.Beta.Agents.Create(ctx, request)
			return err
		}}
	},
	"Agents.Update": func() ownedCall {
		s := newSettings()
		request := generated.UpdateAgentRequest{Description: ratelimited.Ptr("helps"), Tools: s.tools, CompletionArgs: s.args, Metadata: s.metadata}
		return ownedCall{s.memory(&request), func(ctx context.Context, client *ratelimited.Client) error {
			_, err := client.Beta.Agents.Update(ctx, "ag_1", request)
			return err
		}}
	},
	"Agents.Get": func() ownedCall {
		params := generated.GetAgentParams{AgentVersion: ratelimited.Ptr(generated.StringOrInteger("prod"))}
		return ownedCall{[]any{&params}, func(ctx context.Context, client *ratelimited.Client) error {
			_, err := client.Beta.Agents.Get(ctx, "ag_1", params)
			return err
		}}
	},
	"Agents.List": func() ownedCall {
		params := generated.ListAgentsParams{
			Page: ratelimited.Ptr(1), PageSize: ratelimited.Ptr(7), DeploymentChat: ratelimited.Ptr(true), Name: ratelimited.Ptr("helper"),
			Sources: &[]generated.RequestSource{generated.RequestSourceAPI}, Metadata: &map[string]any{"team": "a"},
		}
		return ownedCall{[]any{&params}, func(ctx context.Context, client *ratelimited.Client) error {
			_, err := client.Beta.Agents.List(ctx, params)
			return err
		}}
	},
	"Agents.ListPages": func() ownedCall {
		params := generated.ListAgentPagesParams{
			PageSize: ratelimited.Ptr(7), PageToken: ratelimited.Ptr("next"), Search: ratelimited.Ptr("help"), Sources: &[]generated.RequestSource{generated.RequestSourceAPI},
		}
		return ownedCall{[]any{&params}, func(ctx context.Context, client *ratelimited.Client) error {
			_, err := client.Beta.Agents.ListPages(ctx, params)
			return err
		}}
	},
	"Agents.ListVersions": func() ownedCall {
		params := generated.ListAgentVersionsParams{Page: ratelimited.Ptr(1), PageSize: ratelimited.Ptr(7)}
		return ownedCall{[]any{&params}, func(ctx context.Context, client *ratelimited.Client) error {
			_, err := client.Beta.Agents.ListVersions(ctx, "ag_1", params)
			return err
		}}
	},
}

func readAll(stream *ratelimited.Stream, err error) error {
	if err == nil {
		_, err = collect(stream)
	}
	return err
}

// Every method that takes a request or parameters is among the owned calls.
func TestOwnedCallsAreComplete(t *testing.T) {
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
	for name := range ownedCalls {
		got = append(got, name)
	}
	wantSame(t, "methods", got, want, 13)
}

// Whatever the caller changes of its arguments while a call is under way, from the observer
// and the transport, each attempt sends what the call was made with, and it settles as that.
func TestCallersMemory(t *testing.T) {
	for name, newCall := range ownedCalls {
		t.Run(name, func(t *testing.T) {
			undisturbed, settled := carriedOut(t, newCall(), false)
			disturbed, settledToo := carriedOut(t, newCall(), true)
			if len(undisturbed) != 3 || undisturbed[0] != undisturbed[2] {
				t.Fatalf("requests:\n%s", strings.Join(undisturbed, "\n"))
			}
			if !slices.Equal(disturbed, undisturbed) {
				t.Errorf("requests:\n%s\nwant\n%s", strings.Join(disturbed, "\n"), strings.Join(undisturbed, "\n"))
			}
			if settledToo != settled {
				t.Errorf("settled as %+v, want %+v", settledToo, settled)
			}
		})
	}
}

// carriedOut makes a call whose first two attempts fail, and returns the requests and what
// was settled.
func carriedOut(t *testing.T, call ownedCall, disturb bool) (requests []string, settled ratelimited.Settled) {
	var mu sync.Mutex
	changeOnce := func() {
		mu.Lock()
		defer mu.Unlock()
		for _, arg := range call.args {
			changeAll(reflect.ValueOf(arg))
		}
	}
	change := func() {
		if disturb {
			changeOnce()
			go changeOnce() // the race detector sees what the call reads later
		}
	}
	config := fast
	config.Observer = func(context.Context, string) (context.Context, func(ratelimited.CallEvent)) {
		change()
		return nil, func(event ratelimited.CallEvent) {
			change()
			if s, ok := event.(ratelimited.Settled); ok {
				settled = s
			}
		}
	}
	transport := func(r *http.Request) (*http.Response, error) {
		change()
		var body []byte
		if r.Body != nil {
			var err error
			if body, err = io.ReadAll(r.Body); err != nil {
				return nil, err
			}
		}
		requests = append(requests, fmt.Sprintf("%s %s %d %v %s", r.Method, r.URL, r.ContentLength, r.Header, body))
		if disturb { // a transport may do so, though it must not
			clear(r.Header)
			r.URL.Path, r.URL.RawQuery, r.Method = "/elsewhere", "", "TRACE"
		}
		switch {
		case len(requests) < 3:
			return canned(503, "application/json", `{}`), nil
		case r.Header.Get("Accept") == "text/event-stream" || strings.Contains(string(body), `"stream":true`):
			return canned(200, "text/event-stream", started+hello), nil // settles as what was received
		}
		return canned(200, "application/json", `[]`), nil
	}
	overTransport(t, config, tripper(transport), func(t *testing.T, client *ratelimited.Client) {
		_ = call.make(t.Context(), client) // the canned response suits few
		time.Sleep(time.Second)
	})
	return requests, settled
}

// changeAll changes whatever can be reached and changed, and writes to the rest, so that the
// race detector sees it.
func changeAll(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			changeAll(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				changeAll(v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			changeAll(v.Index(i))
			v.Index(i).SetZero()
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			changeAll(v.MapIndex(key))
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
