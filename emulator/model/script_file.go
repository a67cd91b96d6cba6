package model

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/strictyaml"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
)

// ParseScript returns a model that follows rules written in YAML or JSON:
//
//	rules:
//	  - match: (?i)weather          # a regular expression for the user's last message
//	    model: mistral-small-latest # optional, like agent, turn (from 1) and times
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
// The first rule that matches determines the reply. A rule with result or function matches
// only requests that add a function result; a rule without them matches only other requests.
// Therefore a rule that calls a function does not match the request with its result. The
// steps of "then" are the next replies in the conversation, for any prompt; see [Rule].
//
// If no rule matches, [Default] replies. With "strict: true" beside the rules the request
// fails with status 400, and the message names the nearest rule. [Default] also replies if the
// rule has only a delay.
//
// A rule or a step of "then" has at least one of reply, thought, call or calls, runs, handoff,
// error and delay. Each of the runs is an execution of one of the service's tools, with name,
// arguments and info. The message comes before the calls, and a stream sends both before the
// error.
//
// Arguments are an object, or a string that is sent unchanged. In arguments and info, dates
// are strings. So are whole numbers that are not in JSON's notation, such as 01234 or 0x10. An
// error has a status from 400 to 599, an optional header, and one of message or body. The
// message is the text of the API's error object; body replaces the object. A delay has the
// form "300ms".
//
// An error of ParseScript reports the number of the rule, from 1, the field, its value and
// its line.
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

// fileRule is a rule in a file.
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
			return fmt.Errorf("header %q: must be set once, got twice", canonical)
		}
		seen[canonical] = true
		if err := wire.CheckHeader(name, value); err != nil {
			return err
		}
	}
	return nil
}
