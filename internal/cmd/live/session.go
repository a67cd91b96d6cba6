package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// session is the state that the questions share.
type session struct {
	client   *ratelimited.Client
	recorder *recorder
	model    string

	conversations []string                        // The conversations to delete.
	agents        []string                        // The agents to delete.
	called        *generated.ConversationResponse // A response with calls of two functions.
	results       []generated.Entry               // The results of these calls.
}

// cleanUp deletes the created conversations and agents.
func (l *session) cleanUp(ctx context.Context) error {
	l.recorder.setQuestion("clean up")
	errs := make([]error, 0, len(l.conversations)+len(l.agents))
	for _, id := range l.conversations {
		errs = append(errs, l.client.Beta.Conversations.Delete(ctx, id))
	}
	for _, id := range l.agents {
		errs = append(errs, l.client.Beta.Agents.Delete(ctx, id))
	}
	return errors.Join(errs...)
}

func ptr[T any](v T) *T { return &v }

func function(name string) generated.Tool {
	return generated.NewTool(generated.FunctionTool{Function: generated.Function{
		Name: name, Description: "Returns the " + name + " of a city.",
		Parameters: `{"type":"object","properties":{"city":{"type":"string"}},"required":["city"],"additionalProperties":false}`,
	}})
}

// start starts a conversation with a small max_tokens.
func (l *session) start(ctx context.Context, text string, change func(*generated.StartConversationRequest)) (*generated.ConversationResponse, error) {
	request := generated.StartConversationRequest{
		Model: l.model, Inputs: ratelimited.Text(text), CompletionArgs: generated.CompletionArgs{MaxTokens: ptr(100), Temperature: ptr(0.0)},
	}
	if change != nil {
		change(&request)
	}
	response, err := l.client.Beta.Conversations.Start(ctx, request, ratelimited.AtMostOnce())
	if request.Store != nil && !*request.Store {
		return response, err
	}
	return l.recordConversation(response, err)
}

func (l *session) append(ctx context.Context, id string, request generated.AppendConversationRequest) (*generated.ConversationResponse, error) {
	return l.recordConversation(l.client.Beta.Conversations.Append(ctx, id, request, ratelimited.AtMostOnce()))
}

// recordConversation records the conversation of a response, so that cleanUp deletes it.
func (l *session) recordConversation(response *generated.ConversationResponse, err error) (*generated.ConversationResponse, error) {
	if err == nil && response.ConversationID != "" && !slices.Contains(l.conversations, response.ConversationID) {
		l.conversations = append(l.conversations, response.ConversationID)
	}
	return response, err
}

// kinds returns the types of entries and the confirmation statuses.
func kinds(entries []generated.Entry) string {
	list := make([]string, 0, len(entries))
	for _, entry := range entries {
		var kind struct {
			Type   string `json:"type"`
			Status string `json:"confirmation_status"`
		}
		text, _ := json.Marshal(entry)
		_ = json.Unmarshal(text, &kind)
		if kind.Status != "" {
			kind.Type += " (" + kind.Status + ")"
		}
		list = append(list, kind.Type)
	}
	if len(list) == 0 {
		return "no entries"
	}
	return strings.Join(list, ", ")
}

// outcome describes the result of a request.
func outcome(response *generated.ConversationResponse, err error) string {
	var api *ratelimited.APIError
	switch {
	case errors.As(err, &api):
		return fmt.Sprintf("rejected: %d, code %s: %s", api.StatusCode, api.Code, api.Message)
	case err != nil:
		return "failed: " + err.Error()
	}
	return "accepted: " + kinds(response.Outputs)
}
