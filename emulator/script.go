package emulator

import (
	"context"
	"net/http"
	"regexp"
	"time"

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
// rule matches goes to [DefaultModel], and so does what matches a rule that has a delay
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
	rules, err := parseRules(data)
	if err != nil {
		return nil, err
	}
	return rules.answer, nil
}

// script is the rules in their order.
type script []rule

// rule is one of a script's.
type rule struct {
	match  *regexp.Regexp // nil for any
	result *regexp.Regexp // nil for calls that add none
	model  string         // "" for any

	reply string
	call  *generated.FunctionCallEntry
	err   *Error
	delay time.Duration
}

func (s script) answer(ctx context.Context, p Prompt) Reply {
	for _, r := range s {
		if !r.matches(p) {
			continue
		}
		if sleep(ctx, r.delay) != nil {
			return Reply{Err: context.Cause(ctx)} // Nobody is there to read it.
		}
		if r.reply != "" || r.call != nil || r.err != nil {
			return r.says()
		}
		break
	}
	return DefaultModel(ctx, p)
}

func (r rule) matches(p Prompt) bool {
	if r.model != "" && r.model != p.Model {
		return false
	}
	result, has := lastResult(p)
	if has != (r.result != nil) || has && !r.result.MatchString(result) {
		return false
	}
	return r.match == nil || r.match.MatchString(p.Text())
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
	if r.reply != "" {
		reply.Entries = append(reply.Entries, generated.NewEntry(generated.MessageOutputEntry{Content: generated.NewTextContent(r.reply)}))
	}
	if r.call != nil {
		reply.Entries = append(reply.Entries, generated.NewEntry(*r.call))
	}
	if r.err != nil {
		failure := *r.err // A copy, header and all: each call's is its own.
		failure.Header = http.Header.Clone(failure.Header)
		reply.Err = &failure
	}
	return reply
}
