package model

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/strictyaml"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// ParseScript makes a [Config.Model] of a script, in YAML or JSON:
//
//	rules:
//	  - match: (?i)weather          # a regular expression on the user's last message
//	    model: mistral-small-latest # optional: the rule is for this model alone
//	    call: {name: get_weather, arguments: {city: Paris}}
//	  - match: weather
//	    result: rain                # a regular expression on a function's result
//	    reply: Take an umbrella.
//	  - match: ^slow
//	    delay: 2s
//	    reply: Here I am.
//	  - match: ^fail
//	    error: {status: 503, message: busy, header: {Retry-After: "1"}}
//
// The first rule that matches answers. A rule without match matches any message. One
// with result is for calls that add the result of a function, one without for those
// that do not: so a rule that calls a function is not asked about its result. What no
// rule matches goes to [Default], and so does what matches a rule that has a delay
// alone, after the delay.
//
// A rule has at least one of reply (the text of a message), call, error and delay.
// With several, the message comes before the call, and a stream sends both before the
// error. Arguments are an object, or a text to be sent as it is, as JSON or not; none
// are {}. An error's status is from 400 to 599; it has message, the text of the
// service's error object, or body, which replaces that object, and header. A delay is
// as "300ms".
//
// An error of ParseScript names the rule, counted from 1, the field, its value and its
// line.
func ParseScript(data []byte) (func(context.Context, Prompt) Reply, error) {
	var file struct {
		Rules script `yaml:"rules" item:"rule"`
	}
	if err := strictyaml.Decode(data, "script", "", &file); err != nil {
		return nil, err
	}
	if len(file.Rules) == 0 {
		return nil, errors.New("script: rules: must have at least one rule")
	}
	return file.Rules.answer, nil
}

// script is the rules in their order.
type script []rule

type rule struct {
	Match  *regexp.Regexp `yaml:"match"`  // nil for any
	Result *regexp.Regexp `yaml:"result"` // nil for calls that add none
	Model  string         `yaml:"model"`  // "" for any

	Reply string        `yaml:"reply"`
	Call  *scriptCall   `yaml:"call"`
	Error *scriptError  `yaml:"error"`
	Delay time.Duration `yaml:"delay"`
}

// Validate implements [strictyaml.Validator].
func (r *rule) Validate() error {
	if r.Reply == "" && r.Call == nil && r.Error == nil && r.Delay == 0 {
		return errors.New("must have a reply, call, error or delay")
	}
	return nil
}

type scriptCall struct {
	Name      string          `yaml:"name"`
	Arguments scriptArguments `yaml:"arguments"`
}

// Validate implements [strictyaml.Validator].
func (c *scriptCall) Validate() error {
	if c.Name == "" {
		return errors.New("must have a name")
	}
	return nil
}

// scriptArguments are a mapping, which is sent as JSON, or a text, which is sent as it is.
type scriptArguments string

// UnmarshalNode implements [strictyaml.Unmarshaler].
func (a *scriptArguments) UnmarshalNode(node *strictyaml.Node) error {
	if node.Kind == yaml.ScalarNode && node.Tag == "!!str" {
		*a = scriptArguments(node.Value)
		return nil
	}
	var value map[string]any
	if node.Kind != yaml.MappingNode {
		return strictyaml.Wrong(node, "a mapping or a text")
	}
	if err := node.Decode(&value); err != nil {
		return err
	}
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("cannot be JSON: %w", err)
	}
	*a = scriptArguments(data)
	return nil
}

type scriptError struct {
	Status  int               `yaml:"status"`
	Message string            `yaml:"message"`
	Body    string            `yaml:"body"`
	Header  map[string]string `yaml:"header"`
}

// Validate implements [strictyaml.Validator].
func (e *scriptError) Validate() error {
	if e.Status == 0 {
		return errors.New("must have a status")
	}
	if e.Status < 400 || e.Status > 599 {
		return fmt.Errorf("status: must be from 400 to 599, got %d", e.Status)
	}
	for name, value := range e.Header {
		if err := wire.CheckHeader(name, value); err != nil {
			return err
		}
	}
	return nil
}

func (e *scriptError) failure() *Error {
	failure := &Error{Status: e.Status, Message: e.Message, Body: e.Body, Header: http.Header{}}
	for name, value := range e.Header {
		failure.Header.Set(name, value)
	}
	return failure
}

// answer is the model that a script makes.
func (s script) answer(ctx context.Context, p Prompt) Reply {
	for _, r := range s {
		if !r.matches(p) {
			continue
		}
		if wire.Sleep(ctx, r.Delay) != nil {
			return Reply{Err: context.Cause(ctx)} // Nobody is there to read it.
		}
		if r.Reply != "" || r.Call != nil || r.Error != nil {
			return r.says()
		}
		break
	}
	return Default(ctx, p)
}

func (r rule) matches(p Prompt) bool {
	if r.Model != "" && r.Model != p.Model {
		return false
	}
	result, has := lastResult(p)
	if has != (r.Result != nil) || has && !r.Result.MatchString(result) {
		return false
	}
	return r.Match == nil || r.Match.MatchString(p.Text())
}

// lastResult returns the result of a function with which a call's inputs end.
func lastResult(p Prompt) (string, bool) {
	if len(p.Inputs) == 0 {
		return "", false
	}
	v, ok := p.Inputs[len(p.Inputs)-1].Value().(generated.FunctionResultEntry)
	return v.Result, ok
}

func (r rule) says() Reply {
	var reply Reply
	if r.Reply != "" {
		reply.Entries = append(reply.Entries, message(generated.NewTextContent(r.Reply)))
	}
	if r.Call != nil {
		reply.Entries = append(reply.Entries, generated.NewEntry(generated.FunctionCallEntry{
			Name: r.Call.Name, Arguments: generated.FunctionCallEntryArguments(cmp.Or(r.Call.Arguments, "{}")),
		}))
	}
	if r.Error != nil {
		reply.Err = r.Error.failure()
	}
	return reply
}
