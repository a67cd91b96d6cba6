package emulator_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// corrupted returns the response to a call with a fault.
func corrupted(t *testing.T, fault emulator.Fault, body string) fullResponse {
	t.Helper()
	e := emulator.New(emulator.Config{
		Faults: []emulator.Fault{fault}, OnViolation: func(err error) { t.Errorf("the emulator reported the fault as a violation: %v", err) },
	})
	w := direct(t.Context(), e, http.MethodPost, "/v1/conversations", body)
	if got := e.Stats().Faults[fault.Kind]; got != 1 {
		t.Errorf("the emulator injected %s %d times, want once", fault.Kind, got)
	}
	return fullResponse{t, w.Code, w.Header(), w.Body.String()}.want(http.StatusOK)
}

func TestTruncated(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{Faults: []emulator.Fault{{Kind: emulator.FaultTruncated}}}).unchecked()
	got := a.do(http.MethodPost, "/v1/conversations", plainHello)
	if !strings.HasPrefix(got.body, "{") || json.Valid([]byte(got.body)) {
		t.Errorf("body is %s", got.body)
	}
	// The fault does not apply to streams, and the server executes the call.
	events(t, a.do(http.MethodPost, "/v1/conversations", streamHello).body)
	if got := read[[]json.RawMessage](a.do(http.MethodGet, "/v1/conversations", "").untruncated(a)); len(got) != 2 {
		t.Errorf("list has %d conversations, want 2", len(got))
	}
}

// untruncated removes the faults and lists the conversations again.
func (r fullResponse) untruncated(a *api) fullResponse {
	r.t.Helper()
	if err := a.SetFaults(); err != nil {
		r.t.Fatal(err)
	}
	return a.do(http.MethodGet, "/v1/conversations", "")
}

func TestWrongContentType(t *testing.T) {
	t.Parallel()
	for _, body := range []string{plainHello, streamHello} {
		got := corrupted(t, emulator.Fault{Kind: emulator.FaultContentType}, body)
		if media := got.header.Get("Content-Type"); media != "text/html; charset=utf-8" || !strings.Contains(got.body, "conv_") {
			t.Errorf("%s: %s %s", body, media, got.body)
		}
	}
}

func TestUnknownFields(t *testing.T) {
	t.Parallel()
	fault := emulator.Fault{Kind: emulator.FaultUnknownFields}
	got := corrupted(t, fault, plainHello)
	if text := textOf(read[generated.ConversationResponse](got).Outputs); text != "1 2 3" || !strings.Contains(got.body, `"x_unheard_of":{`) {
		t.Errorf("body is %s", got.body)
	}
	for _, e := range events(t, corrupted(t, fault, streamHello).body) {
		if !strings.Contains(string(e.data), `"x_unheard_of":{`) {
			t.Errorf("event is %s", e.data)
		}
	}
	e := emulator.New(emulator.Config{Faults: []emulator.Fault{fault}})
	if list := direct(t.Context(), e, http.MethodGet, "/v1/agents", "").Body.String(); !strings.HasPrefix(list, `[{"x_unheard_of":`) {
		t.Errorf("list is %s", list)
	}
}

func TestMissingFields(t *testing.T) {
	t.Parallel()
	defaultFields := emulator.Fault{Kind: emulator.FaultMissingFields}
	for _, body := range []string{plainHello, streamHello} {
		got := corrupted(t, defaultFields, body).body
		for _, name := range []string{`"object"`, `"created_at"`, `"usage"`} {
			if strings.Contains(got, name) {
				t.Errorf("%s: %s is in %s", body, name, got)
			}
		}
		if !strings.Contains(got, "conversation_id") {
			t.Errorf("%s: %s", body, got)
		}
	}
	got := corrupted(t, emulator.Fault{Kind: emulator.FaultMissingFields, Fields: []string{"content"}}, plainHello).body
	if strings.Contains(got, `"content"`) || !strings.Contains(got, `"usage"`) {
		t.Errorf("body is %s", got)
	}
}

func TestOversize(t *testing.T) {
	t.Parallel()
	const size = 100_000
	fault := emulator.Fault{Kind: emulator.FaultOversize, Bytes: size, Events: 1}
	if got := corrupted(t, fault, plainHello).body; len(got) < size || !json.Valid([]byte(got)) {
		t.Errorf("body has %d bytes", len(got))
	}
	for i, e := range events(t, corrupted(t, fault, streamHello).body) {
		if large := len(e.data) > size; large != (i == 1) {
			t.Errorf("event %d has %d bytes", i, len(e.data))
		}
	}
	if got := len(corrupted(t, emulator.Fault{Kind: emulator.FaultOversize}, plainHello).body); got < 64<<20 {
		t.Errorf("body has %d bytes, want 64 MiB", got)
	}
}

// TestCorruptedStreams checks which events the faults change: "." is a correct event.
func TestCorruptedStreams(t *testing.T) {
	t.Parallel()
	clean := len(events(t, corrupted(t, emulator.Fault{Kind: emulator.FaultSlowHeaders, Delay: 1}, streamHello).body))
	for _, test := range []struct {
		kind   emulator.FaultKind
		events int
		want   string
	}{
		{emulator.FaultMalformedEvent, 0, "m....."},
		{emulator.FaultMalformedEvent, 2, "..m..."},
		{emulator.FaultUnknownEvent, 4, "....u."},
		{emulator.FaultUnknownEvent, 5, "....."},
		{emulator.FaultDuplicateEvent, 1, "..d..."},
		{emulator.FaultMissingBlankLine, 0, "m..."}, // The first two events are merged.
		{emulator.FaultMissingBlankLine, 4, "....."},
		{emulator.FaultStrayLines, 1, ".s..."},
	} {
		body := corrupted(t, emulator.Fault{Kind: test.kind, Events: test.events}, streamHello).body
		var got strings.Builder
		last := ""
		for frame := range strings.SplitSeq(strings.TrimSuffix(body, "\n\n"), "\n\n") {
			_, data, _ := strings.Cut(frame, "\ndata: ")
			switch {
			case frame == last:
				got.WriteString("d")
			case strings.HasPrefix(frame, ": a comment\n") && json.Valid([]byte(data)):
				got.WriteString("s")
			case !json.Valid([]byte(data)):
				got.WriteString("m")
			case strings.Contains(frame, "unheard_of"):
				got.WriteString("u")
			default:
				got.WriteString(".")
			}
			last = frame
		}
		if got.String() != test.want || clean != 5 {
			t.Errorf("%s after %d: %s, want %s", test.kind, test.events, &got, test.want)
		}
	}
}

// TestCorruptedFrames checks the exact bytes of malformed frames.
func TestCorruptedFrames(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		kind   emulator.FaultKind
		events int
		want   string // the bytes up to the next event
	}{
		{emulator.FaultMissingBlankLine, 1, "}\nevent: message.output.delta\n"},
		{emulator.FaultStrayLines, 2, "}\n\n: a comment\nunheard_of: 1\nno colon\nretry: soon\nid: a\x00b\n\x00\n\uFEFFdata: {\nevent: message.output.delta\n"},
	} {
		body := corrupted(t, emulator.Fault{Kind: test.kind, Events: test.events}, streamHello).body
		if strings.Count(body, test.want) != 1 {
			t.Errorf("%s: stream is %q, want %q once in it", test.kind, body, test.want)
		}
	}
	if body := corrupted(t, emulator.Fault{Kind: emulator.FaultMissingBlankLine, Events: 4}, streamHello).body; !strings.HasSuffix(body, "}\n") || strings.HasSuffix(body, "\n\n") {
		t.Errorf("stream is %q, want it to end without a blank line", body)
	}
}

// A fault must not add a body to a response without one.
func TestFaultsKeepEmptyResponsesEmpty(t *testing.T) {
	t.Parallel()
	for _, kind := range emulator.FaultKinds() {
		if kind.Replaces() || kind == emulator.FaultResetAfterHeaders || kind == emulator.FaultLostReply {
			continue
		}
		fault := emulator.Fault{Kind: kind}
		if kind == emulator.FaultSlowBody || kind == emulator.FaultSlowHeaders {
			fault.Delay = 1
		}
		a := start(t, emulator.Config{})
		c := a.start("Hello")
		if err := a.SetFaults(fault); err != nil {
			t.Fatal(err)
		}
		if got := a.do(http.MethodDelete, "/v1/conversations/"+c.ConversationID, "").want(http.StatusNoContent); got.body != "" {
			t.Errorf("%s: body is %q", kind, got.body)
		}
	}
}
