package main

import (
	_ "embed"
	"encoding/json"
	"errors"
	"log"
	"net/http"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

//go:embed page.html
var page []byte

// newHandler returns the chat's page, and its messages.
func newHandler(client *ratelimited.Client) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(page) // the browser may have left
	})
	mux.HandleFunc("POST /chat", func(w http.ResponseWriter, r *http.Request) { chat(w, r, client) })
	return mux
}

// A message is what a person writes.
type message struct {
	Message      string `json:"message"`
	Conversation string `json:"conversation"` // that it belongs to; empty: a new one
}

// An event is what the browser is told.
type event struct {
	Type         string  `json:"type"` // queue, text, done or error
	Position     int     `json:"position,omitempty"`
	Seconds      float64 `json:"seconds,omitempty"`
	Text         string  `json:"text,omitempty"`
	Conversation string  `json:"conversation,omitempty"`
	Message      string  `json:"message,omitempty"`
}

const maxMessage = 64 << 10 // bytes

// chat streams the response to a message: first the place in the queue, then the text as it comes. When the browser
// leaves, the context of its request ends, and with it the call: it loses its place, or the stream is closed.
func chat(w http.ResponseWriter, r *http.Request, client *ratelimited.Client) {
	var m message
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxMessage)).Decode(&m); err != nil || m.Message == "" {
		http.Error(w, `the content must be {"message": "…"}`, http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	out := &events{w, http.NewResponseController(w)}
	id, err := respond(r, client, m, out)
	switch {
	case r.Context().Err() != nil: // the browser has left
	case err != nil:
		log.Print(err)
		out.send(event{Type: "error", Message: explain(err)})
	default:
		out.send(event{Type: "done", Conversation: id})
	}
}

// respond sends the events of a call, and returns the conversation.
func respond(r *http.Request, client *ratelimited.Client, m message, out *events) (conversation string, err error) {
	queue := ratelimited.OnQueue(func(s ratelimited.QueueStatus) {
		out.send(event{Type: "queue", Position: s.Position, Seconds: s.Expected.Seconds()})
	})
	var stream *ratelimited.Stream
	if m.Conversation == "" {
		request := generated.StartConversationRequest{Model: model, Inputs: ratelimited.Text(m.Message)}
		stream, err = client.Beta.Conversations.StartStream(r.Context(), request, queue)
	} else {
		request := generated.AppendConversationRequest{Inputs: ratelimited.Text(m.Message)}
		stream, err = client.Beta.Conversations.AppendStream(r.Context(), m.Conversation, request, queue)
	}
	if err != nil {
		return "", err
	}
	for text, err := range stream.TextDeltas() {
		if err != nil {
			return "", err
		}
		out.send(event{Type: "text", Text: text})
	}
	return stream.Response().ConversationID, nil
}

// explain says what a person can do about an error, without its details.
func explain(err error) string {
	switch {
	case errors.Is(err, ratelimited.ErrQueueFull):
		return "Too many people are waiting. Please try again in a minute."
	case errors.Is(err, ratelimited.ErrShuttingDown):
		return "The server is about to restart. Please try again."
	case errors.Is(err, ratelimited.ErrNotFound):
		return "This conversation has been deleted. Please reload the page."
	}
	return "Something went wrong. Please try again."
}

// maxSend is how long a browser may take to receive an event. One that does not read must not keep a call from ending, and
// so others from starting: net/http ends the context of a request whose response cannot be written.
const maxSend = 10 * time.Second

// events writes the events of one response.
type events struct {
	w        http.ResponseWriter
	response *http.ResponseController
}

func (e *events) send(v event) {
	data, err := json.Marshal(v)
	if err != nil {
		return
	}
	_ = e.response.SetWriteDeadline(time.Now().Add(maxSend)) // no error comes from a server of net/http
	if _, err = e.w.Write([]byte("data: " + string(data) + "\n\n")); err == nil {
		_ = e.response.Flush() // the browser may have left
	}
}
