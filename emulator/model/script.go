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
	// Times is how often the rule answers at most; 0 means no bound.
	Times int `yaml:"times"`

	// Step is the reply. Then are the next replies in the same conversation, whatever is asked;
	// they come before all rules. After an error in the first request of a conversation, of
	// which the service keeps nothing, they go on with the next one that starts with the same
	// message.
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
	next   map[string]*position // of conversations in the midst of a rule, and behind it
	misses []error
}

type scriptRule struct {
	Rule
	uses []int // of each step
}

// position is the next step of a rule, from 1; behind the last at its end.
type position struct {
	rule *scriptRule
	step int
	keys []string // of the map: the conversation, and for a start that failed its startKey
}

// startKey is the key of the conversations that start with the message of a prompt.
func startKey(p Prompt) string { return fmt.Sprintf("start %x", sha256.Sum256([]byte(p.Text()))) }

// checkCounts reports a negative number.
func (r Rule) checkCounts() error {
	if r.Turn < 0 || r.Times < 0 {
		return fmt.Errorf("turn and times must be 0 or more, got %d and %d", r.Turn, r.Times)
	}
	return nil
}

// steps returns the first step and those of Then.
func (r *scriptRule) steps() []Step { return append([]Step{r.Step}, r.Then...) }

// NewScript returns a script of steps and rules. Each step is one reply of the model, in their
// order, whatever is asked; the first rule that fits answers before them. A request takes one
// step, and one more for each handoff that the service carries out. A request that nothing fits
// gets 400, with the nearest rule and why it does not fit, as does a handoff to an agent to
// which the current one may not hand over. It panics for a step whose calls make no sense.
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
	at, why := s.find(p)
	if at == nil && s.lenient {
		return Step{}, nil
	}
	if at == nil {
		return Step{}, s.miss(fmt.Sprintf("nothing fits %q (model %s, turn %d)%s", wire.Short(p.Text()), p.Model, p.Turn, why))
	}
	s.use(p, at)
	step := at.rule.steps()[at.step]
	if _, ok := step.successor(p); !ok {
		return Step{}, s.miss(fmt.Sprintf("%s: the agent %q may not hand over to it: must be one of %q", s.name(at.rule, at.step), cmp.Or(p.AgentName, p.Agent), namesOf(p.Handoffs)))
	}
	return step, nil
}

// miss notes, for Check, a request that the script cannot answer.
func (s *Script) miss(text string) error {
	const most = 100
	if len(s.misses) < most {
		s.misses = append(s.misses, errors.New("script: "+text))
	}
	return &Error{Status: http.StatusBadRequest, Message: "script: " + text}
}

// find returns the step that answers a prompt. Without one, why says what comes nearest.
func (s *Script) find(p Prompt) (at *position, why string) {
	at = s.next[p.Conversation]
	if at == nil && p.Turn == 1 {
		at = s.next[startKey(p)]
	}
	if at != nil && at.step <= len(at.rule.Then) {
		return at, ""
	}
	var nearest *scriptRule
	var least, steps int
	var reasons []string
	for _, r := range s.rules {
		mismatches := r.mismatches(p)
		if len(mismatches) == 0 {
			return &position{rule: r, keys: []string{p.Conversation}}, ""
		}
		if r.inOrder {
			steps++ // It is used up, as it would fit otherwise.
			continue
		}
		distance := 2 * len(mismatches)
		if r.Match != nil && r.Match.MatchString(p.Text()) {
			distance -= 3 // What the message says counts most.
		}
		if nearest == nil || distance < least {
			nearest, least, reasons = r, distance, mismatches
		}
	}
	if at != nil {
		why += fmt.Sprintf("; none of the %d steps of %s is left in this conversation", 1+len(at.rule.Then), s.name(at.rule, 0))
	}
	if steps > 0 {
		why += fmt.Sprintf("; none of the %d steps is left", steps)
	}
	if nearest != nil {
		why += fmt.Sprintf("; the nearest is %s: %s", s.name(nearest, 0), strings.Join(reasons, ", "))
	}
	return nil, why
}

// use counts a step and goes to the next.
func (s *Script) use(p Prompt, at *position) {
	at.rule.uses[at.step]++
	for _, key := range at.keys {
		delete(s.next, key)
	}
	next := &position{rule: at.rule, step: at.step + 1, keys: []string{p.Conversation}}
	most := 10_000 // conversations; more begin anew
	if next.step > len(at.rule.Then) {
		most = 1_000 // It is for the message of a miss alone.
	}
	if len(at.rule.Then) == 0 || len(s.next) >= most {
		return
	}
	if at.rule.steps()[at.step].Err != nil && p.Turn == 1 {
		next.keys = append(next.keys, startKey(p))
	}
	for _, key := range next.keys {
		s.next[key] = next
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
