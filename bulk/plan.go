package bulk

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// A Forecast is what is left to do of a job, and what that is expected to take.
type Forecast struct {
	Rows    int // of the input
	Done    int // rows that the output has a response of
	Failed  int // rows that the output has a failure of that does not pass
	Invalid int // rows that cannot be sent
	Changed int // rows to be sent whose request was another one in the output
	Calls   int // rows to be sent

	Counted  int                  // tokens of their prompts, by the client's vocabulary
	Tokens   Range[int]           // that they are expected to use, prompts and replies
	Duration Range[time.Duration] // from now until the last response
	Replies  int                  // how many replies the length of the others is expected from; 0 if it is a guess

	LimitedBy         string  // "requests" or "tokens", whichever limit decides how long the job takes
	RequestsPerSecond float64 // the limits that the client keeps to at present
	TokensPerMinute   int     // likewise
}

// A Range is a figure that is not known exactly.
type Range[T int | time.Duration] struct {
	Low      T // less is unlikely
	Expected T // the mean
	High     T // more is unlikely
}

// Plan reads an input and returns what [Run] has to do, and how long that takes at the client's
// limits if nobody else uses them. It sends nothing. How long replies are, and how many tokens
// prompts really have, it expects from the responses in Options.Journal, if that has three or more, or
// else from what the client has learned. Plan reads all of the input, or the rows that Options.MaxRows allows to be sent;
// Run needs a source that begins anew.
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

var errNoSource = errors.New("bulk: the source is nil: must be JSONL(…), Lines(…) or Rows(…)")

// A planner adds up the calls of a job.
type planner struct {
	Forecast
	client *ratelimited.Client
	usage  usage
	models map[string]*load
	took   time.Duration // of a call
}

// A load is the calls of a model, and the tokens that they are expected to use.
type load struct {
	calls         int
	prompt, reply float64
	most          float64 // of the replies, if nothing is known of them
	replies       int     // that the client has seen
}

// longReply is how many tokens an unknown reply is expected to have at most.
const longReply = 4096

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
	p.took = max(p.took, e.Duration)
	model := next.request.Model
	if p.models[model] == nil {
		p.models[model] = new(load)
	}
	bound := longReply
	if n := next.request.CompletionArgs.MaxTokens; n != nil {
		bound = max(0, *n)
	}
	prompt, reply := float64(e.Prompt), float64(e.Reply)
	if p.usage.isEnough() {
		prompt, reply = p.usage.ratio()*float64(e.Counted), min(p.usage.mean(), float64(bound))
	}
	l := p.models[model]
	l.calls++
	l.prompt += prompt
	l.reply += reply
	l.most += float64(min(bound, longReply))
	l.replies = e.Replies
}

// tokens returns what the calls are expected to use.
func (p *planner) tokens(l *load) (r Range[int]) {
	low, high := 0.8*l.prompt+0.1*l.reply, 1.25*l.prompt+max(l.most, l.reply)
	if n, spread := p.usage.n, p.usage.spread(); p.usage.isEnough() || l.replies >= enoughReplies {
		if !p.usage.isEnough() {
			n, spread = l.replies, 1
		}
		off := min(1, 2*spread/math.Sqrt(float64(n)))
		low, high = 0.98*l.prompt+(1-off)*l.reply, 1.02*l.prompt+(1+off)*l.reply
		p.Replies = n
	}
	return Range[int]{int(low), int(l.prompt + l.reply), int(high)}
}

// forecast returns how long the calls take: models that have limits of their own at the same time, and
// all others, which share one, after each other.
func (p *planner) forecast() *Forecast {
	snapshots := p.client.Snapshot()
	limits := map[string]*load{}
	for model, l := range p.models {
		if _, own := snapshots[model]; !own {
			model = ""
		}
		if limits[model] == nil {
			limits[model] = new(load)
		}
		sum := limits[model]
		sum.calls += l.calls
		sum.prompt += l.prompt
		sum.reply += l.reply
		sum.most += l.most
		sum.replies = max(sum.replies, l.replies)
	}
	for model, l := range limits {
		tokens := p.tokens(l)
		p.Tokens.Low += tokens.Low
		p.Tokens.Expected += tokens.Expected
		p.Tokens.High += tokens.High
		take := func(tokens int) time.Duration {
			return p.client.Forecast(model, l.calls, ceil(tokens, l.calls)) + p.took
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

// limitedBy returns which limit decides, of calls that take longer than they would without tokens or
// not.
func limitedBy(d, withoutTokens time.Duration) string {
	if float64(d) > 1.02*float64(withoutTokens) {
		return "tokens"
	}
	return "requests"
}

// A usage adds up what the responses of an output used.
type usage struct {
	n                               int
	counted, prompt, reply, squares float64
}

const enoughReplies = 3

func (u *usage) add(m *mark) {
	if m.Prompt+m.Completion == 0 {
		return // it was not reported
	}
	reply := float64(m.Completion)
	u.n++
	u.counted += float64(m.Counted)
	u.prompt += float64(m.Prompt)
	u.reply += reply
	u.squares += reply * reply
}

func (u *usage) isEnough() bool { return u.n >= enoughReplies && u.counted > 0 }
func (u *usage) ratio() float64 { return u.prompt / u.counted }
func (u *usage) mean() float64  { return u.reply / float64(u.n) }

// spread returns the standard deviation of the replies, as a share of their mean.
func (u *usage) spread() float64 {
	if u.reply == 0 {
		return 0
	}
	mean := u.mean()
	return math.Sqrt(max(0, u.squares/float64(u.n)-mean*mean)) / mean
}
