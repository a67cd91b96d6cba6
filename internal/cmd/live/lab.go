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

// A lab is what the questions share.
type lab struct {
	client   *ratelimited.Client
	recorder *recorder
	model    string

	conversations []string // to be deleted
	agents        []string
	called        *generated.ConversationResponse // a response with calls of two functions
	results       []generated.Entry               // of these calls
}

// clean deletes what was made.
func (l *lab) clean(ctx context.Context) error {
	l.recorder.name("clean")
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

// start asks the model, for few tokens.
func (l *lab) start(ctx context.Context, text string, change func(*generated.StartConversationRequest)) (*generated.ConversationResponse, error) {
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
	return l.note(response, err)
}

func (l *lab) append(ctx context.Context, id string, request generated.AppendConversationRequest) (*generated.ConversationResponse, error) {
	return l.note(l.client.Beta.Conversations.Append(ctx, id, request, ratelimited.AtMostOnce()))
}

// note remembers a conversation, to be deleted.
func (l *lab) note(response *generated.ConversationResponse, err error) (*generated.ConversationResponse, error) {
	if err == nil && response.ConversationID != "" && !slices.Contains(l.conversations, response.ConversationID) {
		l.conversations = append(l.conversations, response.ConversationID)
	}
	return response, err
}

// kinds returns the types of entries.
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
		return "nothing"
	}
	return strings.Join(list, ", ")
}

// outcome says what became of a request.
func outcome(response *generated.ConversationResponse, err error) string {
	var api *ratelimited.APIError
	switch {
	case errors.As(err, &api):
		return fmt.Sprintf("refused: %d, code %s: %s", api.StatusCode, api.Code, api.Message)
	case err != nil:
		return "failed: " + err.Error()
	}
	return "taken: " + kinds(response.Outputs)
}
