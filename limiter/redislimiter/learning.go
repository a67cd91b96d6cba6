package redislimiter

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// configured is the latest configured limit.
type configured struct {
	at          int64 // The time of the configuration by the Redis clock; 0: when the shared state was created.
	limit       limiter.Limit
	learnLimits bool // See Config.LearnLimits.
}

func (c configured) args() []any {
	return append(append([]any{c.at}, limitArgs(c.limit)...), flag(c.learnLimits))
}

// learned describes the limit in force, besides the limit itself.
type learned struct {
	spacing                  time.Duration // The minimum time between two requests.
	requestsFrom, tokensFrom int           // Indexes into sources.
}

// sources lists the sources of a rate by their numbers in the shared state.
var sources = []limiter.Source{limiter.FromConfiguration, limiter.FromHeaders, limiter.FromRefusals, limiter.FromUse}

func (l learned) sources() (requests, tokens limiter.Source) {
	last := len(sources) - 1
	return sources[min(l.requestsFrom, last)], sources[min(l.tokensFrom, last)]
}

func (l learned) args(inForce limiter.Limit) []any {
	return append(limitArgs(inForce), l.spacing.Microseconds(), l.requestsFrom, l.tokensFrom)
}

// learningBatch holds the events that Redis hands to one process at a time. Its times are those
// of the Redis clock.
type learningBatch struct {
	since       time.Time // The time at which the limit was configured.
	first       int64     // The number of the first event.
	extraJitter time.Duration
	text        []string // The state of the learner, then the events; nil: this process has nothing to learn.
}

// maxEvents is the capacity of the event list in Redis. Redis drops further events.
const maxEvents = 2000

// learn computes the rates from the events of all processes, if Redis has handed any to this
// one. It returns the update that reports the rates.
func learn(r response, jitter time.Duration) (u update, learns bool) {
	in := r.batch
	if len(in.text) == 0 {
		return update{}, false
	}
	learner, err := limiter.NewLearner(limiter.LearnerConfig{
		Limit: r.configured.limit, Since: in.since, Climbs: r.configured.learnLimits,
		Jitter: jitter, ExtraJitter: in.extraJitter,
	})
	if err != nil {
		return update{}, false // the shared state does not have a valid limit yet
	}
	state, events := in.text[0], in.text[1:]
	if state == "" || learner.UnmarshalText([]byte(state)) != nil {
		// A later version wrote an unknown state. Leave the events to processes of that version,
		// unless a full list shows that none is running.
		if state != "" && len(events) < maxEvents {
			return update{}, false
		}
		begin := limiter.Learned{Limit: r.limit}
		begin.RequestsFrom, begin.TokensFrom = r.learned.sources()
		learner.Begin(parseEvent(append(events, "")[0]).time(0), begin)
	}
	for _, event := range events {
		parseEvent(event).applyTo(learner)
	}
	text, err := learner.MarshalText()
	if err != nil {
		return update{}, false // a rate is NaN or infinite
	}
	out := learner.Learned()
	after := learned{out.Spacing, slices.Index(sources, out.RequestsFrom), slices.Index(sources, out.TokensFrom)}
	args := append([]any{in.first, len(events)}, after.args(out.Limit)...)
	args = append(args, out.Alone.Microseconds(), flag(out.ExtraJitter < in.extraJitter), string(text))
	return update{op: "learned", args: args}, true
}

// event is a learning event as state.lua writes it: its kind, then times and numbers.
type event struct {
	kind    string
	numbers [7]float64
}

// parseEvent parses an event. Invalid numbers become 0; no version writes them.
func parseEvent(text string) (e event) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return e
	}
	e.kind = words[0]
	for i, word := range words[1:min(len(words), 1+len(e.numbers))] {
		e.numbers[i], _ = strconv.ParseFloat(word, 64)
	}
	return e
}

func (e event) time(i int) time.Time { return redisTime(e.numbers[i]) }
func (e event) int(i int) int        { return int(min(e.numbers[i], limiter.MaxTokens)) }

// applyTo reports the event to a learner. It ignores kinds of later versions.
func (e event) applyTo(to *limiter.Learner) {
	switch e.kind {
	case "s":
		to.Sent(e.time(0))
	case "m":
		to.Resent(e.time(0), e.time(1))
	case "n":
		to.ReturnRequest(e.time(0))
	case "u":
		to.Settled(e.time(0), e.int(1))
	case "h":
		to.Named(e.time(0), e.int(1))
	case "o":
		to.Observed(e.time(0), e.int(1), e.int(2))
	case "r":
		to.Throttled(e.time(0), limiter.ThrottledRequest{
			Sent: e.time(1), Resumed: e.time(2), TokensUsed: e.int(6),
			Throttle: limiter.Throttle{RetryAfter: micros(e.numbers[3]), Requests: e.numbers[4] == 1, Tokens: e.numbers[5] == 1},
		})
	}
}

// namedLimit is the latest token limit in a header that this process reported to Redis.
type namedLimit struct {
	limit int
	at    time.Time // The time of the report.
}

const (
	// namedRefresh is the time after which a process reports the same limit again, because a
	// header counts for some minutes only. namedRetry applies while the limit is not in force.
	namedRefresh = time.Minute
	namedRetry   = time.Second
)

// shouldReportLimit reports whether to send a token limit from a header to Redis, and records
// that it was sent. l.mu must be held.
func (l *Limiter) shouldReportLimit(limit int) bool {
	maxLimit := l.configured.limit.TokensPerMinute
	if l.configured.learnLimits {
		maxLimit = limiter.MaxTokens
	}
	interval := namedRefresh
	if l.limit.TokensPerMinute != min(limit, maxLimit) {
		interval = namedRetry
	}
	if limit == l.named.limit && time.Since(l.named.at) < interval {
		return false
	}
	l.named = namedLimit{limit, time.Now()}
	return true
}

// forget discards the learned rates and applies the configured limit. l.mu must be held.
func (l *Limiter) forget() {
	l.learned = learned{}
	l.setLimit(l.configured.limit)
}
