package contract_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func openStream(t *testing.T, source io.ReadCloser) (io.ReadCloser, *recorder) {
	t.Helper()
	base := respond(200, "text/event-stream; charset=utf-8", source, -1)
	resp, rec := send(t, base, "POST", "/v1/conversations", `{"inputs":"hi","model":"m","stream":true}`)
	return resp.Body, rec
}

func frame(name string) string { return "event: " + name + "\ndata: " + events[name] + "\n\n" }

// The pipe is unbuffered. A transport that waited for more of the stream before it
// returned an event would block forever.
func TestStreamIsNotBuffered(t *testing.T) {
	t.Parallel()
	r, w := io.Pipe()
	body, rec := openStream(t, r)
	for _, event := range []string{frame("conversation.response.started"), "event: nope\ndata: {}\n\n", frame("conversation.response.done")} {
		written := make(chan error, 1)
		go func() {
			_, err := io.WriteString(w, event)
			written <- err
		}()
		got := make([]byte, len(event))
		if _, err := io.ReadFull(body, got); err != nil || string(got) != event {
			t.Fatalf("%v: %q", err, got)
		}
		if err := <-written; err != nil {
			t.Fatal(err)
		}
		if strings.Contains(event, "nope") && rec.text() == "" {
			t.Error("the transport returned an invalid event without reporting it")
		}
	}
	if err := body.Close(); err != nil {
		t.Error(err)
	}
	if _, err := io.WriteString(w, "x"); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("writing to the source returned %v, want that it is closed", err)
	}
	if !strings.HasPrefix(rec.text(), "StartConversation: event /data/type: required") {
		t.Error(rec.text())
	}
}

func TestStreamFraming(t *testing.T) {
	t.Parallel()
	started, done := frame("conversation.response.started"), frame("conversation.response.done")
	twoLines := strings.Replace(started, `,"created_at"`, ",\ndata:\"created_at\"", 1)
	const missing = "StartConversation: event: frame: last event must end with a blank line"
	for name, tt := range map[string]struct{ stream, want string }{
		"LF":                   {started + done, ""},
		"CR":                   {strings.ReplaceAll(started+done, "\n", "\r"), ""},
		"CRLF":                 {strings.ReplaceAll(started+done, "\n", "\r\n"), ""},
		"byte order mark":      {"\ufeff" + started, ""},
		"comments and retry":   {": hi\n\n" + "retry: 5\nid: 1\n" + started + ":\n\n", ""},
		"two lines of data":    {twoLines, ""},
		"no space after colon": {strings.ReplaceAll(started, ": ", ":"), ""},
		"empty":                {"", ""},
		"no blank line":        {started + strings.TrimSuffix(done, "\n"), missing},
		"no end of line":       {started + "event: a", missing + `, got "event: a"`},
		"name without data": {"event: conversation.response.done\n\n",
			`StartConversation: event /data: json: must be one JSON value (unexpected end of JSON input), got ""`},
		"data without name": {strings.SplitAfter(done, "\n")[1] + "\n", `StartConversation: event /event: required: property is missing`},
		"done marker": {done + "data: [DONE]\n\n",
			`StartConversation: event /data: json: must be one JSON value (invalid character 'D' looking for beginning of value), got "[DONE]"` +
				"\nStartConversation: event /event: required: property is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for how, source := range map[string]io.Reader{
				"whole":    strings.NewReader(tt.stream),
				"by bytes": iotest.OneByteReader(strings.NewReader(tt.stream)),
				"with EOF": iotest.DataErrReader(strings.NewReader(tt.stream)),
			} {
				body, rec := openStream(t, io.NopCloser(source))
				got, err := io.ReadAll(body)
				if err != nil || string(got) != tt.stream {
					t.Errorf("%s: %v: %q", how, err, got)
				}
				want := tt.want
				if name == "no blank line" {
					want += `, got ""`
				}
				if rec.text() != want {
					t.Errorf("%s: got:\n%s\nwant:\n%s", how, rec.text(), want)
				}
			}
		})
	}
}

// A broken connection is not a violation.
func TestBrokenStreamConnection(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	body, rec := openStream(t, io.NopCloser(io.MultiReader(strings.NewReader("event: a\ndata: {"), errorReader{broken})))
	if _, err := io.ReadAll(body); !errors.Is(err, broken) {
		t.Error(err)
	}
	if rec.text() != "" {
		t.Error(rec.text())
	}
}

// An event stream is a violation if the operation does not declare one. An undescribed
// error status may have any media type.
func TestUndeclaredStream(t *testing.T) {
	t.Parallel()
	resp, rec := send(t, respond(200, "text/event-stream", textBody("x"), -1), "GET", "/v1/agents", "")
	if want := `ListAgents: header Content-Type: mediaType: must be application/json, got "text/event-stream"`; rec.text() != want {
		t.Error(rec.text())
	}
	_ = resp.Body.Close()
	resp, rec = send(t, respond(503, "text/event-stream", textBody("x"), -1), "GET", "/v1/agents", "")
	if _, err := io.ReadAll(resp.Body); err != nil || rec.text() != "" {
		t.Error(err, rec.text())
	}
}
