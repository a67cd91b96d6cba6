package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulatortest"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

var slow = []emulatortest.Option{
	emulatortest.WithServer(emulator.Config{RequestsPerSecond: 1, TokenDelay: 100 * time.Millisecond}),
	emulatortest.WithClient(func(c *ratelimited.Config) { c.RequestsPerSecond, c.MaxQueue = 1, 3 }),
}

// A recorder is a ResponseRecorder whose body can be read while the handler writes.
type recorder struct {
	mu sync.Mutex
	*httptest.ResponseRecorder
}

func (r *recorder) Write(data []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ResponseRecorder.Write(data)
}

func (r *recorder) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.Body.String()
}

// A visitor is a browser that has sent a message.
type visitor struct {
	response   *recorder
	disconnect context.CancelFunc
}

// visit sends a message and returns when all goroutines are blocked.
func visit(t *testing.T, handler http.Handler, m message) visitor {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	body, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	v := visitor{&recorder{ResponseRecorder: httptest.NewRecorder()}, cancel}
	request := httptest.NewRequestWithContext(ctx, http.MethodPost, "/chat", strings.NewReader(string(body)))
	go handler.ServeHTTP(v.response, request)
	synctest.Wait()
	return v
}

// events returns the events that the browser has received, with consecutive texts joined.
func (v visitor) events(t *testing.T) []event {
	t.Helper()
	synctest.Wait()
	var all []event
	for frame := range strings.SplitSeq(strings.TrimSuffix(v.response.text(), "\n\n"), "\n\n") {
		var e event
		if frame == "" {
			continue
		}
		if err := json.Unmarshal([]byte(strings.TrimPrefix(frame, "data: ")), &e); err != nil {
			t.Fatalf("%q: %v", frame, err)
		}
		if last := len(all) - 1; last >= 0 && e.Type == "text" && all[last].Type == "text" {
			all[last].Text += e.Text
			continue
		}
		all = append(all, e)
	}
	return all
}

func TestChat(t *testing.T) {
	emulatortest.Run(t, func(t *testing.T, client *ratelimited.Client, _ *emulator.Server) {
		handler := newHandler(client)
		var visitors []visitor
		for i := range 5 {
			visitors = append(visitors, visit(t, handler, message{Message: fmt.Sprintf("I am %d.", i)}))
		}
		visitors[2].disconnect()
		time.Sleep(time.Minute)

		first := visitors[0].events(t)
		if len(first) != 2 || first[0].Text != `You said "I am 0.", and this is the emulator's answer to that.` || first[1].Type != "done" {
			t.Errorf("the first visitor received %+v", first)
		}
		if again := visit(t, handler, message{"And now?", first[1].Conversation}); true {
			time.Sleep(time.Minute)
			if events := again.events(t); len(events) != 2 || events[1].Conversation != first[1].Conversation {
				t.Errorf("in the same conversation: %+v", events)
			}
		}
		if left := visitors[2].events(t); len(left) != 1 || left[0].Position != 2 {
			t.Errorf("the disconnected visitor received %+v", left)
		}
		fourth := visitors[3].events(t)
		if len(fourth) < 3 || fourth[0].Type != "queue" || fourth[0].Position != 3 || fourth[0].Seconds < 2 || fourth[1].Position != 2 {
			t.Errorf("the fourth visitor received %+v", fourth)
		}
		fifth := visitors[4].events(t)
		if want := []event{{Type: "error", Message: "Too many people are waiting. Please try again in a minute."}}; !slices.Equal(fifth, want) {
			t.Errorf("the visitor that exceeds the queue received %+v", fifth)
		}
	}, slow...)
}

// A shutdown completes the response in flight and sends an error event to a waiting visitor.
func TestShutDown(t *testing.T) {
	emulatortest.Run(t, func(t *testing.T, client *ratelimited.Client, _ *emulator.Server) {
		handler := newHandler(client)
		first, second := visit(t, handler, message{Message: "I am first."}), visit(t, handler, message{Message: "I wait."})
		time.Sleep(200 * time.Millisecond)
		if events := first.events(t); len(events) != 1 || events[0].Type != "text" {
			t.Fatalf("before the shutdown, the first visitor received %+v", events)
		}
		if err := shutDown(client, &http.Server{ReadHeaderTimeout: time.Second}); err != nil {
			t.Error(err)
		}
		if events := first.events(t); len(events) != 2 || events[1].Type != "done" {
			t.Errorf("the first visitor received %+v", events)
		}
		if events := second.events(t); len(events) != 2 || events[1].Message != "The server is about to restart. Please try again." {
			t.Errorf("the second visitor received %+v", events)
		}
	}, slow...)
}

func TestBadMessages(t *testing.T) {
	client, _ := emulatortest.New(t)
	handler := newHandler(client)
	for body, want := range map[string]int{
		``: 400, `{}`: 400, `[]`: 400, `{"message":""}`: 400, `{"message":"` + strings.Repeat("a", maxMessage) + `"}`: 400,
	} {
		response := httptest.NewRecorder()
		handler.ServeHTTP(response, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/chat", strings.NewReader(body)))
		if response.Code != want {
			t.Errorf("%.40q: status %d, want %d", body, response.Code, want)
		}
	}
}
