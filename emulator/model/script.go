package model

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// Turn is a part of a [Script]: a [Step] or a [Rule].
type Turn interface{ rule() Rule }

// Rule is a reply to the requests that match all of its conditions. A rule without Result
// and Function matches only requests that do not add a function result.
type Rule struct {
	// Match is a regular expression for the user's last message; nil matches any.
	Match *regexp.Regexp `yaml:"match"`
	// Model is the name of the model, and Agent the name or id of the agent; "" matches any.
	Model string `yaml:"model"`
	Agent string `yaml:"agent"`
	// Turn is the number of the request in its conversation, from 1; 0 matches any.
	Turn int `yaml:"turn"`
	// Function is the name of a function whose result the request adds. Result is a regular
	// expression for its result or, without Function, for the last result.
	Function string         `yaml:"function"`
	Result   *regexp.Regexp `yaml:"result"`
	// Times is the maximum number of uses of the rule; 0 means unlimited.
	Times int `yaml:"times"`

	// Step is the reply. Then lists the next replies in the same conversation, for any prompt;
	// they take precedence over all rules. The service does not store a conversation whose
	// first request fails. In this case they continue with the next conversation that starts
	// with the same message.
	Step Step   `yaml:"-"`
	Then []Step `yaml:"-"`

	inOrder bool // whether it is a bare step, which matches any request and is used once
}

func (s Step) rule() Rule { return Rule{Step: s, Times: 1, inOrder: true} }
func (r Rule) rule() Rule { return r }

// Script is a model that follows steps and rules. It is safe for concurrent use. Create one
// with [NewScript].
type Script struct {
	lenient bool // whether Default replies if no rule matches
	rules   []*scriptRule

	mu     sync.Mutex
	next   map[string]*position // by conversation, within or after a rule with Then
	misses []error
}

type scriptRule struct {
	Rule
	uses []int // number of uses of each step
}

// position is the next step of a rule, from 1. After the last step it is 1 + len(Then).
type position struct {
	rule *scriptRule
	step int
	keys []string // the keys in Script.next: the conversation, and the startKey of a failed start
}

// startKey returns the key in Script.next of conversations that start with the prompt's message.
func startKey(p Prompt) string { return fmt.Sprintf("start %x", sha256.Sum256([]byte(p.Text()))) }

// checkCounts reports a negative number.
func (r Rule) checkCounts() error {
	switch {
	case r.Turn < 0:
		return fmt.Errorf("turn must be 0 or more, got %d", r.Turn)
	case r.Times < 0:
		return fmt.Errorf("times must be 0 or more, got %d", r.Times)
	}
	return nil
}

// steps returns Step and the steps of Then.
func (r *scriptRule) steps() []Step { return append([]Step{r.Step}, r.Then...) }

// NewScript returns a script of steps and rules. If a rule matches, the first one determines
// the reply. Otherwise the next unused step does, for any prompt. A request uses one step, and
// one more for each handoff that the service executes.
//
// A request without a matching rule or step fails with status 400. The message names the
// nearest rule and the conditions that do not match. A handoff to an agent that is not allowed
// also fails with status 400. NewScript panics if a step or a rule is invalid.
func NewScript(turns ...Turn) *Script {
	s := &Script{next: map[string]*position{}}
	for i, turn := range turns {
		if turn == nil {
			panic(fmt.Errorf("emulator: script: turn %d: must be a Step or a Rule, got nil", i+1))
		}
		r := turn.rule()
		if err := r.checkCounts(); err != nil {
			panic(fmt.Errorf("emulator: script: turn %d: %w", i+1, err))
		}
		for _, step := range (&scriptRule{Rule: r}).steps() {
			if err := step.validate(); err != nil {
				panic(fmt.Errorf("emulator: script: turn %d: %w", i+1, err))
			}
		}
		s.rules = append(s.rules, &scriptRule{r, make([]int, 1+len(r.Then))})
	}
	slices.SortStableFunc(s.rules, func(a, b *scriptRule) int { // rules before steps
		return map[bool]int{true: 1}[a.inOrder] - map[bool]int{true: 1}[b.inOrder]
	})
	return s
}

// Reply returns the reply to a prompt. It can be used as the Model of an emulator.Config.
func (s *Script) Reply(ctx context.Context, p Prompt) Reply {
	step, err := s.take(p)
	if err != nil {
		return Reply{Err: err}
	}
	if wire.Sleep(ctx, step.Delay) != nil {
		return Reply{Err: context.Cause(ctx)} // The client has disconnected.
	}
	if step.isEmpty() {
		reply := Default(ctx, p)
		scripted := step.reply(p)
		reply.Usage, reply.Pace = scripted.Usage, scripted.Pace
		return reply
	}
	return step.reply(p)
}

// take returns the step for a prompt and records its use.
func (s *Script) take(p Prompt) (Step, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, why := s.find(p)
	if at == nil && s.lenient {
		return Step{}, nil
	}
	if at == nil {
		return Step{}, s.miss(fmt.Sprintf("no rule or step matches %q (model %s, turn %d)%s", wire.Short(p.Text()), p.Model, p.Turn, why))
	}
	s.use(p, at)
	step := at.rule.steps()[at.step]
	if _, ok := step.handoffTarget(p); !ok {
		return Step{}, s.miss(fmt.Sprintf("%s: the agent %q cannot hand off to it: must be one of %q", s.name(at.rule, at.step), cmp.Or(p.AgentName, p.Agent), namesOf(p.Handoffs)))
	}
	return step, nil
}

// miss records a request without a reply, for Check, and returns its error.
func (s *Script) miss(text string) error {
	const maxMisses = 100
	if len(s.misses) < maxMisses {
		s.misses = append(s.misses, errors.New("script: "+text))
	}
	return &Error{Status: http.StatusBadRequest, Message: "script: " + text}
}

// find returns the step for a prompt, or nil. In that case why describes the nearest rule.
func (s *Script) find(p Prompt) (at *position, why string) {
	at = s.next[p.Conversation]
	if at == nil && p.Turn == 1 {
		at = s.next[startKey(p)]
	}
	if at != nil && at.step <= len(at.rule.Then) {
		return at, ""
	}
	var nearest *scriptRule
	var minDistance, steps int
	var reasons []string
	for _, r := range s.rules {
		mismatches := r.mismatches(p)
		if len(mismatches) == 0 {
			return &position{rule: r, keys: []string{p.Conversation}}, ""
		}
		if r.inOrder {
			steps++ // The step has been used, because an unused one matches any prompt.
			continue
		}
		distance := 2 * len(mismatches)
		if r.Match != nil && r.Match.MatchString(p.Text()) {
			distance -= 3 // A matching message counts most.
		}
		if nearest == nil || distance < minDistance {
			nearest, minDistance, reasons = r, distance, mismatches
		}
	}
	if at != nil {
		why += fmt.Sprintf("; all steps of %s have been used in this conversation", s.name(at.rule, 0))
	}
	if steps > 0 {
		why += fmt.Sprintf("; all steps (%d) have been used", steps)
	}
	if nearest != nil {
		why += fmt.Sprintf("; the nearest is %s: %s", s.name(nearest, 0), strings.Join(reasons, ", "))
	}
	return nil, why
}

// use counts a use of a step and advances the conversation to the next step.
func (s *Script) use(p Prompt, at *position) {
	at.rule.uses[at.step]++
	for _, key := range at.keys {
		delete(s.next, key)
	}
	next := &position{rule: at.rule, step: at.step + 1, keys: []string{p.Conversation}}
	maxNext := 10_000 // further conversations do not continue with Then
	if next.step > len(at.rule.Then) {
		maxNext = 1_000 // The position after the last step only improves the error of a miss.
	}
	if len(at.rule.Then) == 0 || len(s.next) >= maxNext {
		return
	}
	if at.rule.steps()[at.step].Err != nil && p.Turn == 1 {
		next.keys = append(next.keys, startKey(p))
	}
	for _, key := range next.keys {
		s.next[key] = next
	}
}

// name returns the name of a step of a rule: its position in the script and its content.
func (s *Script) name(r *scriptRule, step int) string {
	kind, n := "rule", 0
	if r.inOrder {
		kind = "step"
	}
	for _, other := range s.rules {
		if other.inOrder == r.inOrder {
			n++
		}
		if other == r {
			break
		}
	}
	if step > 0 {
		return fmt.Sprintf("%s %d, then %d (%v)", kind, n, step, r.Then[step-1])
	}
	return fmt.Sprintf("%s %d (%v)", kind, n, r.Step)
}

// Check returns an error for each step that was never used, and for each request that no
// rule or step matched.
func (s *Script) Check() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	problems := slices.Clone(s.misses)
	for _, r := range s.rules {
		for step, uses := range r.uses {
			if uses == 0 {
				problems = append(problems, fmt.Errorf("script: %s was never used", s.name(r, step)))
			}
		}
	}
	return errors.Join(problems...)
}

// mismatches returns the reasons why a rule does not match a prompt, or nil if it matches.
func (r *scriptRule) mismatches(p Prompt) (reasons []string) {
	not := func(fits bool, format string, args ...any) {
		if !fits {
			reasons = append(reasons, fmt.Sprintf(format, args...))
		}
	}
	not(r.Times == 0 || r.uses[0] < r.Times, "it has been used %d of %d times", r.uses[0], r.Times)
	if r.inOrder {
		return reasons
	}
	not(r.Match == nil || r.Match.MatchString(p.Text()), "match %q does not match", r.Match)
	not(r.Model == "" || r.Model == p.Model, "it is for model %s", r.Model)
	not(r.Agent == "" || r.Agent == p.Agent || r.Agent == p.AgentName, "it is for agent %s, not %q", r.Agent, p.AgentName)
	not(r.Turn == 0 || r.Turn == p.Turn, "it is for turn %d", r.Turn)
	results := resultsOf(p)
	switch {
	case r.Function != "":
		result, ok := results[r.Function]
		not(ok, "no result of %s was added", r.Function)
		not(!ok || r.Result == nil || r.Result.MatchString(result), "result %q does not match %q", r.Result, wire.Short(result))
	case r.Result != nil:
		result, ok := results[""]
		not(ok, "no result was added")
		not(!ok || r.Result.MatchString(result), "result %q does not match %q", r.Result, wire.Short(result))
	default:
		not(len(results) == 0, "a result was added")
	}
	return reasons
}

// resultsOf returns the function results that a request adds, by function name. The key ""
// holds the last result. It returns nil if the request does not end with a result.
func resultsOf(p Prompt) map[string]string {
	names := callNames(p)
	results := map[string]string{}
	for _, input := range p.Inputs {
		if v, ok := input.Value().(generated.FunctionResultEntry); ok {
			results[names[v.ToolCallID]], results[""] = v.Result, v.Result
		} else {
			delete(results, "") // Another entry follows the result.
		}
	}
	if _, ok := results[""]; !ok {
		return nil
	}
	return results
}
