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

// newHandler returns the handler that serves the page and its messages.
func newHandler(client *ratelimited.Client) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(page) // fails if the browser has disconnected
	})
	mux.HandleFunc("POST /chat", func(w http.ResponseWriter, r *http.Request) { chat(w, r, client) })
	return mux
}

// A message is the content of a request to /chat.
type message struct {
	Message      string `json:"message"`
	Conversation string `json:"conversation"` // ID of the conversation; empty starts a new one
}

// An event is the data of a server-sent event.
type event struct {
	Type         string  `json:"type"` // queue, text, done or error
	Position     int     `json:"position,omitempty"`
	Seconds      float64 `json:"seconds,omitempty"`
	Text         string  `json:"text,omitempty"`
	Conversation string  `json:"conversation,omitempty"`
	Message      string  `json:"message,omitempty"`
}

const maxMessage = 64 << 10 // bytes

// chat streams the response to a message: first the position in the queue, then the text. When the browser disconnects,
// the context of its request ends. This cancels the call: it leaves the queue, or closes its stream.
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
	case r.Context().Err() != nil: // the browser has disconnected
	case err != nil:
		log.Print(err)
		out.send(event{Type: "error", Message: explain(err)})
	default:
		out.send(event{Type: "done", Conversation: id})
	}
}

// respond sends the events of a call and returns the ID of the conversation.
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

// explain returns a text that tells a person what to do after an error, without its details.
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

// maxSend bounds the time to send an event. Without it, a browser that does not read would keep its call in flight and
// block other calls. When the write fails, net/http ends the context of the request.
const maxSend = 10 * time.Second

// events sends the events of one response.
type events struct {
	w        http.ResponseWriter
	response *http.ResponseController
}

func (e *events) send(v event) {
	data, err := json.Marshal(v)
	if err != nil {
		return
	}
	_ = e.response.SetWriteDeadline(time.Now().Add(maxSend)) // net/http supports deadlines
	if _, err = e.w.Write([]byte("data: " + string(data) + "\n\n")); err == nil {
		_ = e.response.Flush() // fails if the browser has disconnected
	}
}
