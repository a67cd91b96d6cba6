package bulk

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// A Forecast describes the remaining work of a job and its estimated cost.
type Forecast struct {
	Rows    int // rows of the input
	Done    int // rows with a response in the output
	Failed  int // rows that failed permanently, according to the output
	Invalid int // rows that cannot be sent
	Changed int // rows to send whose request differs from the one in the output
	Calls   int // rows to send

	Counted  int                  // tokens of the prompts to send, as counted by the client
	Tokens   Range[int]           // estimated usage of these rows, prompts and responses
	Duration Range[time.Duration] // estimated time until the last response
	Replies  int                  // past responses that the estimate is based on; 0 if it is based on defaults

	LimitedBy         string  // "requests" or "tokens": the limit that determines the duration
	RequestsPerSecond float64 // current limit of the client
	TokensPerMinute   int     // current limit of the client
}

// A Range is an estimate with bounds.
type Range[T int | time.Duration] struct {
	Low      T // a low estimate; smaller values are unlikely
	Expected T // the expected value
	High     T // a high estimate; larger values are unlikely
}

// Plan reads an input and estimates the work of [Run]: the rows to send, their tokens, and the
// duration at the client's limits if nobody else uses them. It sends nothing.
//
// The estimate of tokens is based on the responses in Options.Journal if it has at least three.
// Otherwise it is based on the usage that the client has observed.
//
// Plan reads the input to its end, or until Options.MaxRows rows to send. Run needs a new source
// that starts at the beginning.
func Plan(ctx context.Context, client *ratelimited.Client, source Source, options Options) (*Forecast, error) {
	if err := options.check(client); err != nil {
		return nil, err
	}
	if source == nil {
		return nil, errNoSource
	}
	if _, err := options.prepare(); err != nil {
		return nil, err
	}
	journal := options.Journal
	if journal == nil {
		journal = new(Journal)
	}
	p := planner{client: client, usage: journal.used(), models: map[string]*load{}}
	for next, err := range journal.jobs(source, &options) {
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return nil, err
		}
		f := &p.Forecast
		f.Rows++
		switch {
		case next.claim.status == statusDone:
			f.Done++
		case next.claim.status == statusFailed:
			f.Failed++
		case next.err != nil:
			f.Invalid++
		case options.MaxRows > 0 && f.Calls == options.MaxRows:
			f.Rows--
			return p.forecast(), nil
		default:
			p.add(next)
		}
	}
	return p.forecast(), nil
}

var errNoSource = errors.New("bulk: the source is nil: must be made with JSONL, Lines or Rows")

// A planner adds up the calls of a job.
type planner struct {
	Forecast
	client       *ratelimited.Client
	usage        usage
	models       map[string]*load
	callDuration time.Duration // the duration of a call
}

// A load is the calls of a model and their estimated tokens.
type load struct {
	calls              int
	prompt, completion float64
	maxCompletion      float64 // upper estimate of the response tokens without past responses
	responses          int     // responses that the client has observed
}

// maxUnknownCompletion bounds the estimated tokens of a response without past responses.
const maxUnknownCompletion = 4096

func (p *planner) add(next todo) {
	e, err := p.client.Estimate(next.request)
	if err != nil {
		p.Invalid++
		return
	}
	p.Calls++
	if next.claim.changed {
		p.Changed++
	}
	p.Counted += e.Counted
	p.callDuration = max(p.callDuration, e.Duration)
	model := next.request.Model
	if p.models[model] == nil {
		p.models[model] = new(load)
	}
	bound := maxUnknownCompletion
	if n := next.request.CompletionArgs.MaxTokens; n != nil {
		bound = max(0, *n)
	}
	prompt, completion := float64(e.Prompt), float64(e.Reply)
	if p.usage.isEnough() {
		prompt, completion = p.usage.ratio()*float64(e.Counted), min(p.usage.mean(), float64(bound))
	}
	l := p.models[model]
	l.calls++
	l.prompt += prompt
	l.completion += completion
	l.maxCompletion += float64(min(bound, maxUnknownCompletion))
	l.responses = e.Replies
}

// tokens estimates the usage of the calls.
func (p *planner) tokens(l *load) (r Range[int]) {
	low, high := 0.8*l.prompt+0.1*l.completion, 1.25*l.prompt+max(l.maxCompletion, l.completion)
	if n, spread := p.usage.n, p.usage.spread(); p.usage.isEnough() || l.responses >= enoughResponses {
		if !p.usage.isEnough() {
			n, spread = l.responses, 1
		}
		off := min(1, 2*spread/math.Sqrt(float64(n)))
		low, high = 0.98*l.prompt+(1-off)*l.completion, 1.02*l.prompt+(1+off)*l.completion
		p.Replies = n
	}
	return Range[int]{int(low), int(l.prompt + l.completion), int(high)}
}

// forecast estimates the duration of the calls. Models with their own limits are used concurrently.
// All other models share one limit.
func (p *planner) forecast() *Forecast {
	snapshots := p.client.Snapshot()
	limits := map[string]*load{}
	for model, l := range p.models {
		if _, hasOwnLimit := snapshots[model]; !hasOwnLimit {
			model = ""
		}
		if limits[model] == nil {
			limits[model] = new(load)
		}
		sum := limits[model]
		sum.calls += l.calls
		sum.prompt += l.prompt
		sum.completion += l.completion
		sum.maxCompletion += l.maxCompletion
		sum.responses = max(sum.responses, l.responses)
	}
	for model, l := range limits {
		tokens := p.tokens(l)
		p.Tokens.Low += tokens.Low
		p.Tokens.Expected += tokens.Expected
		p.Tokens.High += tokens.High
		take := func(tokens int) time.Duration {
			return p.client.Forecast(model, l.calls, ceil(tokens, l.calls)) + p.callDuration
		}
		if d := take(tokens.Expected); d >= p.Duration.Expected {
			p.Duration = Range[time.Duration]{take(tokens.Low), d, take(tokens.High)}
			p.LimitedBy = limitedBy(d, take(0))
			limit := snapshots[model].Limit
			p.RequestsPerSecond, p.TokensPerMinute = limit.RequestsPerSecond, limit.TokensPerMinute
		}
	}
	return &p.Forecast
}

func ceil(n, by int) int { return (n + by - 1) / by }

// limitedBy returns the limit that determines a duration, by comparison with the duration without
// tokens.
func limitedBy(d, withoutTokens time.Duration) string {
	if float64(d) > 1.02*float64(withoutTokens) {
		return "tokens"
	}
	return "requests"
}

// A usage adds up the usage of the responses in an output.
type usage struct {
	n                                    int
	counted, prompt, completion, squares float64
}

const enoughResponses = 3

func (u *usage) add(m *mark) {
	if m.Prompt+m.Completion == 0 {
		return // the API did not report the usage
	}
	completion := float64(m.Completion)
	u.n++
	u.counted += float64(m.Counted)
	u.prompt += float64(m.Prompt)
	u.completion += completion
	u.squares += completion * completion
}

func (u *usage) isEnough() bool { return u.n >= enoughResponses && u.counted > 0 }
func (u *usage) ratio() float64 { return u.prompt / u.counted }
func (u *usage) mean() float64  { return u.completion / float64(u.n) }

// spread returns the standard deviation of the response tokens, relative to their mean.
func (u *usage) spread() float64 {
	if u.completion == 0 {
		return 0
	}
	mean := u.mean()
	return math.Sqrt(max(0, u.squares/float64(u.n)-mean*mean)) / mean
}
