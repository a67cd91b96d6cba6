package model

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/strictyaml"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
)

// ParseScript returns a model that answers by rules, in YAML or JSON:
//
//	rules:
//	  - match: (?i)weather          # a regular expression on the user's last message
//	    model: mistral-small-latest # optional, as agent, turn (from 1) and times
//	    call: {name: get_weather, arguments: {city: Paris}}
//	  - function: get_weather       # the result of this function,
//	    result: rain                # which matches this regular expression
//	    reply: Take an umbrella.
//	  - match: ^book
//	    reply: One moment.
//	    calls: [{name: book_flight}, {name: web_search, pending: true}]
//	    then:                       # the next replies in the conversation
//	      - {thought: It is booked., reply: Done., usage: {prompt: 20, completion: 5}}
//	      - {handoff: billing}
//	  - match: ^slow
//	    delay: 2s
//	    pace: 100ms                 # between two deltas
//	    reply: Here I am.
//	  - match: ^fail
//	    error: {status: 503, message: busy, header: {Retry-After: "1"}}
//
// The first rule that fits answers. One with result or function is for requests that add
// the result of a function, one without for those that do not: so a rule that calls a
// function is not asked about its result. The steps of "then" are the next replies in the
// conversation, whatever is asked; see [Rule]. What no rule fits goes to [Default], or, with
// "strict: true" beside the rules, gets 400 with the nearest rule; so does [Default] answer
// after a rule that has a delay alone.
//
// A rule, and a step of "then", has at least one of reply, thought, call or calls, runs
// (executions of the service's tools, with name, arguments and info), handoff, error and
// delay. With several, the message comes before the calls, and a stream sends both before the
// error. Arguments are an object, or a text to be sent as it is. In
// arguments and info a date is a text, as is a whole number that JSON would write in another
// way, such as 01234 or 0x10. An error's status is from 400
// to 599; it has message, the text of the service's error object, or body, which replaces that
// object, and header. A delay is as "300ms".
//
// An error of ParseScript names the rule, counted from 1, the field, its value and its line.
func ParseScript(data []byte) (func(context.Context, Prompt) Reply, error) {
	var file struct {
		Strict bool       `yaml:"strict"`
		Rules  []fileRule `yaml:"rules" item:"rule"`
	}
	if err := strictyaml.Decode(data, "script", "", &file); err != nil {
		return nil, err
	}
	if len(file.Rules) == 0 {
		return nil, errors.New("script: rules: must have at least one rule")
	}
	turns := make([]Turn, len(file.Rules))
	for i, r := range file.Rules {
		rule := r.Rule
		rule.Step = r.step()
		for _, then := range r.Then {
			rule.Then = append(rule.Then, then.step())
		}
		turns[i] = rule
	}
	script := NewScript(turns...)
	script.lenient = !file.Strict
	return script.Reply, nil
}

// fileRule is a rule as a file has it.
type fileRule struct {
	Rule
	fileStep
	Then []fileStep `yaml:"then" item:"then"`
}

// Validate implements [strictyaml.Validator].
func (r *fileRule) Validate() error {
	if err := r.checkCounts(); err != nil {
		return err
	}
	return r.fileStep.Validate()
}

type fileStep struct {
	Step
	Call  *Call      `yaml:"call"`
	Error *fileError `yaml:"error"`
}

// Validate implements [strictyaml.Validator].
func (s *fileStep) Validate() error {
	if s.isEmpty() && s.Call == nil && s.Error == nil && s.Delay == 0 {
		return errors.New("must have a reply, thought, call, calls, runs, handoff, error or delay")
	}
	return s.step().validate()
}

func (s fileStep) step() Step {
	step := s.Step
	if s.Call != nil {
		step.Calls = append([]Call{*s.Call}, step.Calls...)
	}
	if s.Error != nil {
		failure := &Error{Status: s.Error.Status, Message: s.Error.Message, Body: s.Error.Body, Header: http.Header{}}
		for name, value := range s.Error.Header {
			failure.Header.Set(name, value)
		}
		step.Err = failure
	}
	return step
}

type fileError struct {
	Status  int               `yaml:"status"`
	Message string            `yaml:"message"`
	Body    string            `yaml:"body"`
	Header  map[string]string `yaml:"header"`
}

// Validate implements [strictyaml.Validator].
func (e *fileError) Validate() error {
	if e.Status == 0 {
		return errors.New("must have a status")
	}
	if e.Status < 400 || e.Status > 599 {
		return fmt.Errorf("status: must be from 400 to 599, got %d", e.Status)
	}
	seen := map[string]bool{}
	for name, value := range e.Header {
		canonical := http.CanonicalHeaderKey(name)
		if seen[canonical] {
			return fmt.Errorf("header %q: is there twice", canonical)
		}
		seen[canonical] = true
		if err := wire.CheckHeader(name, value); err != nil {
			return err
		}
	}
	return nil
}
