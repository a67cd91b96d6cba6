package redislimiter

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// configured is the limit that was configured last.
type configured struct {
	at     int64 // when it was set, by the clock of Redis; 0: when the books were made
	limit  limiter.Limit
	climbs bool // the limit is a beginning: see Config.LearnLimits
}

func (c configured) args() []any {
	return append(append([]any{c.at}, limitArgs(c.limit)...), flag(c.climbs))
}

// learned is what is known of the limit in force, beside the limit itself.
type learned struct {
	spacing                  time.Duration // between two requests
	requestsFrom, tokensFrom int           // in sources
}

// sources are those of a rate, by the numbers that Redis has for them.
var sources = []limiter.Source{limiter.FromConfiguration, limiter.FromHeaders, limiter.FromRefusals, limiter.FromUse}

func (l learned) sources() (requests, tokens limiter.Source) {
	last := len(sources) - 1
	return sources[min(l.requestsFrom, last)], sources[min(l.tokensFrom, last)]
}

func (l learned) args(inForce limiter.Limit) []any {
	return append(limitArgs(inForce), l.spacing.Microseconds(), l.requestsFrom, l.tokensFrom)
}

// lessons are what Redis has one process at a time learn from. Times are those of Redis.
type lessons struct {
	since       time.Time // when the limit was configured
	after       int64     // how many lessons were learned before
	extraJitter time.Duration
	text        []string // the state of the learner, and the lessons; nil: there is nothing to learn now
}

// mostLessons is how many lessons Redis keeps at most: more if it takes no more of them.
const mostLessons = 2000

// learn learns from what happened to the requests of all processes, if Redis has this one do that. It returns
// what Redis is to be told of it.
func learn(r reply, jitter time.Duration) (n news, learns bool) {
	in := r.lessons
	if len(in.text) == 0 {
		return news{}, false
	}
	learner, err := limiter.NewLearner(limiter.LearnerConfig{
		Limit: r.configured.limit, Since: in.since, Climbs: r.configured.climbs,
		Jitter: jitter, ExtraJitter: in.extraJitter,
	})
	if err != nil {
		return news{}, false // no limit is valid yet
	}
	state, events := in.text[0], in.text[1:]
	if state == "" || learner.UnmarshalText([]byte(state)) != nil {
		// A state that is not known here is that of a later version: those who know it learn,
		// unless there are none.
		if state != "" && len(events) < mostLessons {
			return news{}, false
		}
		begin := limiter.Learned{Limit: r.limit}
		begin.RequestsFrom, begin.TokensFrom = r.learned.sources()
		learner.Begin(newLesson(append(events, "")[0]).time(0), begin)
	}
	for _, event := range events {
		newLesson(event).teach(learner)
	}
	text, err := learner.MarshalText()
	if err != nil {
		return news{}, false // a rate is not a number
	}
	out := learner.Learned()
	after := learned{out.Spacing, slices.Index(sources, out.RequestsFrom), slices.Index(sources, out.TokensFrom)}
	args := append([]any{in.after, len(events)}, after.args(out.Limit)...)
	args = append(args, out.Alone.Microseconds(), flag(out.ExtraJitter < in.extraJitter), string(text))
	return news{op: "learned", args: args}, true
}

// A lesson is an event that is learned from, as books.lua writes it: its kind, and numbers.
type lesson struct {
	kind    string
	numbers [7]float64
}

// newLesson leaves out what is not a number: nobody writes that.
func newLesson(text string) (l lesson) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return l
	}
	l.kind = words[0]
	for i, word := range words[1:min(len(words), 1+len(l.numbers))] {
		l.numbers[i], _ = strconv.ParseFloat(word, 64)
	}
	return l
}

func (l lesson) time(i int) time.Time { return clock(l.numbers[i]) }
func (l lesson) int(i int) int        { return int(min(l.numbers[i], limiter.MaxTokens)) }

// teach reports the event to a learner. One of another kind is of a later version.
func (l lesson) teach(to *limiter.Learner) {
	switch l.kind {
	case "s":
		to.Sent(l.time(0))
	case "m":
		to.Resent(l.time(0), l.time(1))
	case "n":
		to.ReturnRequest(l.time(0))
	case "u":
		to.Settled(l.time(0), l.int(1))
	case "h":
		to.Named(l.time(0), l.int(1))
	case "o":
		to.Observed(l.time(0), l.int(1), l.int(2))
	case "r":
		to.Throttled(l.time(0), limiter.ThrottledRequest{
			Sent: l.time(1), Resumed: l.time(2), TokensUsed: l.int(6),
			Throttle: limiter.Throttle{RetryAfter: micros(l.numbers[3]), Requests: l.numbers[4] == 1, Tokens: l.numbers[5] == 1},
		})
	}
}

// named is the limit of tokens that the server has named, and when Redis was told.
type named struct {
	limit int
	at    time.Time
}

const (
	// Redis is told again of a limit that it was told of so long ago, because what a header says
	// counts for some minutes only; or so soon, as long as that is not in force.
	namedAgain = time.Minute
	namedSoon  = time.Second
)

// isNews reports whether Redis is to be told that the server names a limit of tokens, and takes
// note of that. It requires that l.mu is held.
func (l *Limiter) isNews(limit int) bool {
	most := l.configured.limit.TokensPerMinute
	if l.configured.climbs {
		most = limiter.MaxTokens
	}
	again := namedAgain
	if l.limit.TokensPerMinute != min(limit, most) {
		again = namedSoon
	}
	if limit == l.named.limit && time.Since(l.named.at) < again {
		return false
	}
	l.named = named{limit, time.Now()}
	return true
}

// forget goes back to the configured limit. It requires that l.mu is held.
func (l *Limiter) forget() {
	l.learned = learned{}
	l.setLimit(l.configured.limit)
}
