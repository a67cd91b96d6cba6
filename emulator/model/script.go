package model

import (
	"context"
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

// Rule answers the requests that fit all of its conditions. A rule without Result and
// Function is for requests that add no result of a function.
type Rule struct {
	// Match is a regular expression on the user's last message; nil fits any.
	Match *regexp.Regexp `yaml:"match"`
	// Model and Agent are the name of the model, and the name or id of the agent; "" fits any.
	Model string `yaml:"model"`
	Agent string `yaml:"agent"`
	// Turn is the number of the request in its conversation, from 1; 0 fits any.
	Turn int `yaml:"turn"`
	// Function is the name of a function whose result the request adds; Result is a regular
	// expression on its result, or, without Function, on the last result.
	Function string         `yaml:"function"`
	Result   *regexp.Regexp `yaml:"result"`
	// Times is how often the rule answers at most; 0 is no bound.
	Times int `yaml:"times"`

	// Step is the reply. Then are the replies to the next requests of the same conversation,
	// whatever they are; they come before all rules.
	Step Step   `yaml:"-"`
	Then []Step `yaml:"-"`

	inOrder bool // a bare step, which fits any request and is used once
}

func (s Step) rule() Rule { return Rule{Step: s, Times: 1, inOrder: true} }
func (r Rule) rule() Rule { return r }

// Script is a model that answers by rules. It is safe for concurrent use. Make one with
// [NewScript].
type Script struct {
	lenient bool // what no rule fits goes to Default
	rules   []*scriptRule

	mu     sync.Mutex
	next   map[string]position // of conversations in the midst of a rule
	misses []error
}

type scriptRule struct {
	Rule
	uses []int // of each step
}

// position is the next step of a rule.
type position struct {
	rule *scriptRule
	step int
}

// NewScript returns a script of steps and rules. Steps answer one request each, in their
// order, whatever the requests are; the first rule that fits answers before them. A request
// that nothing fits gets 400, with the nearest rule and why it does not fit. It panics for a
// step whose calls make no sense.
func NewScript(turns ...Turn) *Script {
	s := &Script{next: map[string]position{}}
	for i, turn := range turns {
		r := turn.rule()
		for _, step := range append([]Step{r.Step}, r.Then...) {
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

// Reply is the model that the script makes, for [Config.Model] of package emulator.
func (s *Script) Reply(ctx context.Context, p Prompt) Reply {
	step, err := s.take(p)
	if err != nil {
		return Reply{Err: err}
	}
	if wire.Sleep(ctx, step.Delay) != nil {
		return Reply{Err: context.Cause(ctx)} // Nobody is there to read it.
	}
	if step.isEmpty() {
		reply := Default(ctx, p)
		own := step.reply(p)
		reply.Usage, reply.Pace = own.Usage, own.Pace
		return reply
	}
	return step.reply(p)
}

// take returns the step for a prompt and notes its use.
func (s *Script) take(p Prompt) (Step, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, ok := s.next[p.Conversation]; ok {
		s.use(p, at)
		return at.rule.Then[at.step-1], nil
	}
	var nearest *scriptRule
	var least int
	var why []string
	for _, r := range s.rules {
		reasons := r.mismatches(p)
		if len(reasons) == 0 {
			s.use(p, position{r, 0})
			return r.Step, nil
		}
		distance := 2 * len(reasons)
		if r.Match != nil && r.Match.MatchString(p.Text()) {
			distance -= 3 // What the message says counts most.
		}
		if nearest == nil || distance < least {
			nearest, least, why = r, distance, reasons
		}
	}
	if s.lenient {
		return Step{}, nil
	}
	miss := fmt.Sprintf("script: nothing fits %q (model %s, turn %d)", wire.Short(p.Text()), p.Model, p.Turn)
	if nearest != nil {
		miss += fmt.Sprintf("; the nearest is %s: %s", s.name(nearest, 0), strings.Join(why, ", "))
	}
	const most = 100
	if len(s.misses) < most {
		s.misses = append(s.misses, errors.New(miss))
	}
	return Step{}, &Error{Status: http.StatusBadRequest, Message: miss}
}

// use counts a step and goes to the next.
func (s *Script) use(p Prompt, at position) {
	at.rule.uses[at.step]++
	const most = 10_000 // conversations that are in the midst of a rule; more begin anew
	if at.step < len(at.rule.Then) && (len(s.next) < most || s.next[p.Conversation].rule != nil) {
		s.next[p.Conversation] = position{at.rule, at.step + 1}
	} else {
		delete(s.next, p.Conversation)
	}
}

// name names a step of a rule, by its place in the script.
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

// Check reports the steps that were never used, and the requests that nothing fitted.
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

// mismatches returns why a rule does not fit a prompt; nil if it does.
func (r *scriptRule) mismatches(p Prompt) (reasons []string) {
	not := func(fits bool, format string, args ...any) {
		if !fits {
			reasons = append(reasons, fmt.Sprintf(format, args...))
		}
	}
	not(r.Times == 0 || r.uses[0] < r.Times, "it has been used %d times", r.uses[0])
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

// resultsOf returns the results of functions that a request adds, by the names of the
// functions, and the last one by "".
func resultsOf(p Prompt) map[string]string {
	names := callNames(p)
	results := map[string]string{}
	for _, input := range p.Inputs {
		if v, ok := input.Value().(generated.FunctionResultEntry); ok {
			results[names[v.ToolCallID]], results[""] = v.Result, v.Result
		} else {
			delete(results, "") // It does not end with a result.
		}
	}
	if _, ok := results[""]; !ok {
		return nil
	}
	return results
}
