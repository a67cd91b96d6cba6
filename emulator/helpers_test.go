package emulator_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/contract"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

const model = "mistral-small-latest"

// api is an emulator that listens, with a client that checks its traffic against the
// document.
type api struct {
	*emulator.Server
	t      *testing.T
	client *http.Client
}

func start(t *testing.T, cfg emulator.Config) *api {
	t.Helper()
	cfg.OnViolation = func(err error) { t.Errorf("emulator: %v", err) }
	server, err := emulator.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return &api{Server: server, t: t, client: contract.Client(t, transport)}
}

// fullResponse is a response with its content.
type fullResponse struct {
	t      *testing.T
	status int
	header http.Header
	body   string
}

func newRequest(t *testing.T, method, url, body string) *http.Request {
	t.Helper()
	request, err := http.NewRequestWithContext(context.Background(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer key")
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	return request
}

func (a *api) do(method, path, body string) fullResponse {
	a.t.Helper()
	response, err := a.client.Do(newRequest(a.t, method, a.URL()+path, body))
	if err != nil {
		a.t.Fatal(err)
	}
	return readResponse(a.t, response)
}

func readResponse(t *testing.T, response *http.Response) fullResponse {
	t.Helper()
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fullResponse{t, response.StatusCode, response.Header, string(data)}
}

// unchecked returns an api whose client does not check its traffic.
func (a *api) unchecked() *api {
	plain := *a
	plain.client = &http.Client{Transport: a.client.Transport.(*contract.Transport).Base}
	return &plain
}

func (r fullResponse) want(status int) fullResponse {
	r.t.Helper()
	if r.status != status {
		r.t.Fatalf("status is %d, want %d: %s", r.status, status, r.body)
	}
	return r
}

func read[T any](r fullResponse) T {
	r.t.Helper()
	var value T
	if err := json.Unmarshal([]byte(r.want(http.StatusOK).body), &value); err != nil {
		r.t.Fatalf("%v: %s", err, r.body)
	}
	return value
}

// encoded returns a value as JSON.
func encoded(t *testing.T, value any) string {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func (a *api) post(path string, request any) fullResponse {
	a.t.Helper()
	return a.do(http.MethodPost, path, encoded(a.t, request))
}

func (a *api) start(text string) generated.ConversationResponse {
	a.t.Helper()
	return read[generated.ConversationResponse](a.post("/v1/conversations", textRequest(text)))
}

func textRequest(text string) generated.StartConversationRequest {
	return generated.StartConversationRequest{Model: model, Inputs: generated.NewTextInputs(text)}
}

// textOf returns the text of all message outputs.
func textOf(entries []generated.Entry) string {
	var text strings.Builder
	for _, entry := range entries {
		if m, ok := entry.Value().(generated.MessageOutputEntry); ok {
			text.WriteString(m.Content.Text())
		}
	}
	return text.String()
}

// event is one event of a stream.
type event struct {
	name string
	data []byte
	generated.StreamEvent
}

// events parses a stream. Each event must be an event line, a data line and a blank line.
func events(t *testing.T, body string) []event {
	t.Helper()
	rest, ok := strings.CutSuffix(body, "\n\n")
	if !ok {
		t.Fatalf("stream does not end with a blank line: %q", body)
	}
	var list []event
	for part := range strings.SplitSeq(rest, "\n\n") {
		first, second, ok := strings.Cut(part, "\n")
		name, isEvent := strings.CutPrefix(first, "event: ")
		data, isData := strings.CutPrefix(second, "data: ")
		if !ok || !isEvent || !isData || strings.Contains(data, "\n") {
			t.Fatalf("frame is %q, want an event line and a data line", part)
		}
		e := event{name: name, data: []byte(data)}
		if err := json.Unmarshal(e.data, &e.StreamEvent); err != nil {
			t.Fatal(err)
		}
		list = append(list, e)
	}
	return list
}

// direct calls the handler without a network. Tests under synctest cannot use a real one.
func direct(ctx context.Context, e *emulator.Emulator, method, path, body string) *httptest.ResponseRecorder {
	request := httptest.NewRequestWithContext(ctx, method, path, bytes.NewReader([]byte(body)))
	request.Header.Set("Authorization", "Bearer key")
	request.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	e.ServeHTTP(w, request)
	return w
}

func ptr[T any](value T) *T { return &value }
