package model

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// Step is one reply of a script. The reply consists of the parts that are set, in the order
// of the fields. For a step without parts, or with only a delay, [Default] replies.
type Step struct {
	// Runs lists executions of the service's tools.
	Runs []Run `yaml:"runs" item:"run"`
	// Thought and Reply are the thinking and the text of a message.
	Thought string `yaml:"thought"`
	Reply   string `yaml:"reply"`
	// Calls lists the function calls of the reply.
	Calls []Call `yaml:"calls" item:"call"`
	// Handoff is the name or the id of the agent to hand off to. The current agent must be
	// allowed to hand off to it. The request defines whether the service or the client
	// executes the handoff.
	Handoff string `yaml:"handoff"`
	// Err is the error that ends the reply; see [Reply].
	Err error `yaml:"-"`

	// Usage replaces the counted usage.
	Usage *Usage `yaml:"usage"`
	// Delay is the time before the reply. Pace replaces the emulator's time between two
	// deltas.
	Delay time.Duration `yaml:"delay"`
	Pace  time.Duration `yaml:"pace"`
}

// Call is a function call of a [Step].
type Call struct {
	Name string `yaml:"name"` // the name of the function
	// Arguments is an object, or a string that is sent unchanged, even if it is not JSON; nil
	// stands for {}.
	Arguments any `yaml:"arguments"`
	// Pending makes the call wait for a confirmation.
	Pending bool `yaml:"pending"`
	// ID is the tool_call_id; "" generates one.
	ID string `yaml:"id"`
}

// Run is an execution of one of the service's tools, such as web_search.
type Run struct {
	Name string `yaml:"name"` // the name of the tool
	// Arguments is an object or a string, as in [Call]. Info is the result of the tool.
	Arguments any            `yaml:"arguments"`
	Info      map[string]any `yaml:"info"`
}

// Usage is the token usage of a [Step]. If Total is 0, the sum of Prompt and Completion
// replaces it.
type Usage struct {
	Prompt     int `yaml:"prompt"`     // the prompt tokens
	Completion int `yaml:"completion"` // the completion tokens
	Total      int `yaml:"total"`      // the tokens charged
}

// Validate reports a negative number of tokens.
func (u Usage) Validate() error {
	if u.Prompt < 0 || u.Completion < 0 || u.Total < 0 {
		return fmt.Errorf("must be 0 or more tokens, got %+v", u)
	}
	return nil
}

// Say returns a step whose reply is a message.
func Say(text string) Step { return Step{Reply: text} }

// Calls returns a step that makes these function calls.
func Calls(calls ...Call) Step { return Step{Calls: calls} }

// Validate reports a call without a name, or arguments that are neither an object nor a
// string.
func (c Call) Validate() error { return validate(c.Name, c.Arguments) }

// Validate reports an invalid name or arguments in the same way as [Call.Validate], and an
// Info that cannot be encoded as JSON.
func (r Run) Validate() error {
	if _, err := json.Marshal(r.Info); err != nil {
		return fmt.Errorf("info: cannot be encoded: %w", err)
	}
	return validate(r.Name, r.Arguments)
}

func validate(name string, arguments any) error {
	if name == "" {
		return errors.New("must have a name")
	}
	_, err := argumentsText(arguments)
	return err
}

// argumentsText returns arguments in the form in which they are sent.
func argumentsText(arguments any) (string, error) {
	if arguments == nil {
		return "{}", nil
	}
	if text, ok := arguments.(string); ok {
		return text, nil
	}
	data, err := json.Marshal(arguments)
	if err != nil {
		return "", fmt.Errorf("arguments: cannot be encoded: %w", err)
	}
	if !strings.HasPrefix(string(data), "{") {
		return "", fmt.Errorf("arguments: must be an object or a string, got %s", wire.Short(string(data)))
	}
	return string(data), nil
}

// validate reports an invalid part of the step.
func (s Step) validate() error {
	ids := map[string]bool{"": false}
	for _, call := range s.Calls {
		if ids[call.ID] {
			return fmt.Errorf("call %q: id: must be used once, got %q twice", call.Name, call.ID)
		}
		ids[call.ID] = call.ID != ""
		if err := call.Validate(); err != nil {
			return fmt.Errorf("call %q: %w", call.Name, err)
		}
	}
	for _, run := range s.Runs {
		if err := run.Validate(); err != nil {
			return fmt.Errorf("run %q: %w", run.Name, err)
		}
	}
	if modelErr := (*Error)(nil); errors.As(s.Err, &modelErr) && (modelErr.Status < 400 || modelErr.Status > 599) {
		return fmt.Errorf("error: status: must be from 400 to 599, got %d", modelErr.Status)
	}
	if s.Delay < 0 || s.Pace < 0 {
		return fmt.Errorf("delay and pace: must be 0 or more, got %s and %s", s.Delay, s.Pace)
	}
	if s.Usage != nil {
		if err := s.Usage.Validate(); err != nil {
			return fmt.Errorf("usage: %w", err)
		}
	}
	return nil
}

// isEmpty reports whether no part of the reply is set.
func (s Step) isEmpty() bool {
	return s.Reply == "" && s.Thought == "" && s.Handoff == "" && s.Err == nil && len(s.Calls)+len(s.Runs) == 0
}

// String describes a step in a few words.
func (s Step) String() string {
	var words []string
	for _, run := range s.Runs {
		words = append(words, "runs "+run.Name)
	}
	if s.Reply != "" {
		words = append(words, fmt.Sprintf("replies %q", wire.Short(s.Reply)))
	}
	for _, call := range s.Calls {
		words = append(words, "calls "+call.Name)
	}
	if s.Handoff != "" {
		words = append(words, "hands off to "+s.Handoff)
	}
	if s.Err != nil {
		words = append(words, "fails: "+s.Err.Error())
	}
	return cmp.Or(strings.Join(words, ", "), "replies with the default model")
}

// reply returns the reply for a prompt.
func (s Step) reply(p Prompt) Reply {
	reply := Reply{Err: s.Err, Pace: s.Pace}
	if modelErr := (*Error)(nil); errors.As(s.Err, &modelErr) {
		failure := *modelErr // A copy, because the emulator may modify its header.
		failure.Header = modelErr.Header.Clone()
		reply.Err = &failure
	}
	for _, run := range s.Runs {
		arguments, _ := argumentsText(run.Arguments) // The run was validated.
		entry := generated.ToolExecutionEntry{Name: run.Name, Function: run.Name, Arguments: arguments}
		if run.Info != nil {
			entry.Info = run.Info
		}
		reply.Entries = append(reply.Entries, generated.NewEntry(entry))
	}
	text := generated.NewContentChunk(generated.TextChunk{Text: s.Reply})
	switch {
	case s.Thought != "" && s.Reply != "":
		reply.Entries = append(reply.Entries, message(generated.NewChunkContent(thought(s.Thought), text)))
	case s.Thought != "":
		reply.Entries = append(reply.Entries, message(generated.NewChunkContent(thought(s.Thought))))
	case s.Reply != "":
		reply.Entries = append(reply.Entries, message(generated.NewTextContent(s.Reply)))
	}
	for _, call := range s.Calls {
		arguments, _ := argumentsText(call.Arguments)
		entry := generated.FunctionCallEntry{
			Name: call.Name, ToolCallID: call.ID, Arguments: generated.FunctionCallEntryArguments(arguments),
		}
		if call.Pending {
			entry.ConfirmationStatus = generated.ConfirmationStatusPending
		}
		reply.Entries = append(reply.Entries, generated.NewEntry(entry))
	}
	if next, ok := s.handoffTarget(p); ok && s.Handoff != "" {
		reply.Entries = append(reply.Entries, generated.NewEntry(generated.AgentHandoffEntry{NextAgentID: next.ID, NextAgentName: next.Name}))
	}
	if u := s.Usage; u != nil {
		reply.Usage = &generated.ConversationUsageInfo{
			PromptTokens: u.Prompt, CompletionTokens: u.Completion, TotalTokens: cmp.Or(u.Total, u.Prompt+u.Completion),
		}
	}
	return reply
}

// handoffTarget returns the agent that a step hands off to. ok reports whether the agent of
// the prompt may hand off to it; it is true for a step without a handoff.
func (s Step) handoffTarget(p Prompt) (agent generated.Agent, ok bool) {
	for _, agent := range p.Handoffs {
		if agent.ID == s.Handoff || agent.Name == s.Handoff {
			return agent, true
		}
	}
	return generated.Agent{}, s.Handoff == ""
}

// namesOf returns the names of agents.
func namesOf(agents []generated.Agent) []string {
	names := make([]string, len(agents))
	for i, agent := range agents {
		names[i] = agent.Name
	}
	return names
}

func thought(text string) generated.ContentChunk {
	return generated.NewContentChunk(generated.ThinkChunk{
		Thinking: []generated.ContentChunk{generated.NewContentChunk(generated.TextChunk{Text: text})},
	})
}
