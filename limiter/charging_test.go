package limiter_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// chargeKinds are the ways in which a chargingServer counts tokens.
const (
	slidingOnArrival = iota
	slidingAtEnd
	bucketAtEnd
	fixedAtEnd
)

// A chargingServer limits tokens per minute. It does not limit requests.
type chargingServer struct {
	kind     int
	limit    int
	mu       sync.Mutex
	start    time.Time
	charges  []stamp // by time
	level    float64 // tokens used, of a bucket
	levelAt  time.Duration
	accepted int // tokens

	rejected, rejectedLate int // rejected requests, in total and after the first two minutes
}

// used returns the tokens that the server counts now. The caller must hold mu.
func (s *chargingServer) used() int {
	now := time.Since(s.start)
	switch s.kind {
	case bucketAtEnd:
		s.level = max(0, s.level-float64(s.limit)*(now-s.levelAt).Minutes())
		s.levelAt = now
		return int(s.level)
	case fixedAtEnd:
		return s.since(now.Truncate(time.Minute))
	default:
		return s.since(now - time.Minute + 1)
	}
}

func (s *chargingServer) since(from time.Duration) int {
	for len(s.charges) > 0 && s.charges[0].at < from {
		s.charges = s.charges[1:]
	}
	n := 0
	for _, c := range s.charges {
		n += c.n
	}
	return n
}

// charge counts n tokens now. The caller must hold mu.
func (s *chargingServer) charge(n int) {
	s.used()
	s.charges = append(s.charges, stamp{at: time.Since(s.start), n: n})
	s.level += float64(n)
}

// arrive decides whether to accept a request, and returns the Retry-After of a rejected one.
func (s *chargingServer) arrive(prompt int) (ok bool, retryAfter time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	need := 1
	if s.kind == slidingOnArrival {
		need = prompt
	}
	switch excess := s.used() + need - s.limit; {
	case excess > 0:
		s.rejected++
		if time.Since(s.start) > 2*time.Minute {
			s.rejectedLate++
		}
		return false, s.wait(excess)
	case s.kind == slidingOnArrival:
		s.charge(prompt)
	}
	return true, 0
}

// wait returns when the server counts n tokens less, in whole seconds from now. The caller must hold mu.
func (s *chargingServer) wait(n int) time.Duration {
	now := time.Since(s.start)
	d := time.Minute
	switch s.kind {
	case bucketAtEnd:
		d = time.Duration(float64(n) / float64(s.limit) * float64(time.Minute))
	case fixedAtEnd:
		d = time.Minute - now%time.Minute
	default:
		for _, c := range s.charges {
			if n -= c.n; n <= 0 {
				d = c.at + time.Minute - now
				break
			}
		}
	}
	return d.Truncate(time.Second) + time.Second
}

// finish charges the rest of a call and returns the remaining tokens.
func (s *chargingServer) finish(prompt, completion int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accepted += prompt + completion
	if s.kind != slidingOnArrival {
		completion += prompt
	}
	s.charge(completion)
	return max(0, s.limit-s.used())
}

// An arrivalLoad describes callers that make calls for some minutes without a pause.
type arrivalLoad struct {
	seed       uint64
	callers    int
	prompt     int           // mean
	completion int           // mean
	takes      time.Duration // mean duration of a call
	silent     bool          // the server does not report remaining tokens
	others     int           // tokens per second of another client, which the server never rejects
}

// play runs the callers and returns the server.
func (load arrivalLoad) play(b *testLimiter, kind int, minutes time.Duration) *chargingServer {
	server := &chargingServer{kind: kind, limit: b.Limit().TokensPerMinute, start: b.start}
	end := b.start.Add(minutes * time.Minute)
	var wg sync.WaitGroup
	if load.others > 0 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(load.seed, 1<<20))
			for time.Now().Before(end) {
				time.Sleep(time.Duration(random.Int64N(int64(2 * time.Second))))
				server.mu.Lock()
				server.charge(random.IntN(2 * load.others))
				server.mu.Unlock()
			}
		})
	}
	for i := range load.callers {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(load.seed, uint64(i)))
			around := func(n int) int { return n/2 + random.IntN(n+1) }
			for time.Now().Before(end) {
				load.call(b, server, random, around(load.prompt), around(load.completion))
			}
		})
	}
	wg.Wait()
	return server
}

// call makes one call, whose prompt estimate is off by up to a fifth.
func (load arrivalLoad) call(b *testLimiter, server *chargingServer, random *rand.Rand, prompt, completion int) {
	counted := int(float64(prompt) * (0.8 + 0.4*random.Float64()))
	p, err := b.AcquireCall(context.Background(), limiter.Call{Prompt: counted, Reply: load.completion})
	if err != nil {
		b.Error(err)
		return
	}
	for {
		time.Sleep(time.Duration(random.Int64N(int64(50 * time.Millisecond))))
		ok, retryAfter := server.arrive(prompt)
		if ok {
			break
		}
		p.Throttled(limiter.Throttle{RetryAfter: retryAfter, Tokens: true})
		if err := p.Retry(context.Background()); err != nil {
			b.Error(err)
			return
		}
	}
	time.Sleep(load.takes/2 + time.Duration(random.Int64N(int64(load.takes))))
	remaining := server.finish(prompt, completion)
	p.Settle(prompt + completion)
	if !load.silent {
		b.reportRemaining(remaining)
	}
}

var arrivalLimit = limiter.Limit{RequestsPerSecond: 10, TokensPerMinute: 60_000}

// The guard learns when the server charges prompts, from its remaining tokens or from 429 responses alone.
func TestGuardedLearnsWhenPromptsAreCharged(t *testing.T) {
	for name, c := range map[string]struct {
		kind int
		load arrivalLoad
		want bool
	}{
		"on arrival":                      {slidingOnArrival, arrivalLoad{callers: 20, prompt: 1000, completion: 300, takes: 5 * time.Second}, true},
		"on arrival, long calls":          {slidingOnArrival, arrivalLoad{callers: 60, prompt: 1000, completion: 300, takes: 45 * time.Second}, true},
		"on arrival, long calls, silent":  {slidingOnArrival, arrivalLoad{callers: 60, prompt: 1000, completion: 300, takes: 45 * time.Second, silent: true}, true},
		"on arrival, with other clients":  {slidingOnArrival, arrivalLoad{callers: 20, prompt: 1000, completion: 300, takes: 5 * time.Second, others: 200}, true},
		"at the end":                      {slidingAtEnd, arrivalLoad{callers: 20, prompt: 1000, completion: 300, takes: 5 * time.Second}, false},
		"at the end, long calls":          {slidingAtEnd, arrivalLoad{callers: 60, prompt: 1000, completion: 300, takes: 45 * time.Second}, false},
		"at the end, with other clients":  {slidingAtEnd, arrivalLoad{callers: 20, prompt: 1000, completion: 300, takes: 5 * time.Second, others: 200}, false},
		"at the end, bucket":              {bucketAtEnd, arrivalLoad{callers: 20, prompt: 1000, completion: 300, takes: 5 * time.Second}, false},
		"at the end, fixed windows":       {fixedAtEnd, arrivalLoad{callers: 20, prompt: 1000, completion: 300, takes: 5 * time.Second}, false},
		"at the end, bucket, long calls":  {bucketAtEnd, arrivalLoad{callers: 60, prompt: 1000, completion: 300, takes: 45 * time.Second}, false},
		"at the end, fixed windows, long": {fixedAtEnd, arrivalLoad{callers: 60, prompt: 1000, completion: 300, takes: 45 * time.Second}, false},
	} {
		t.Run(name, func(t *testing.T) {
			runVirtual(t, arrivalLimit, func(b *testLimiter) {
				c.load.seed = 1
				s := c.load.play(b, c.kind, 10)
				t.Logf("%d requests rejected, %d%% used", s.rejected, s.accepted/6000)
				equal(b, "charges on arrival", limiter.ChargesOnArrival(b.Limiter), c.want)
			}, guarded)
		})
	}
}

// For any call sizes and durations and any way of charging, the guard uses most of the limit. After two
// minutes of learning, the server rejects few calls.
func TestGuardedAgainstWaysOfCharging(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		kind := rapid.IntRange(0, fixedAtEnd).Draw(r, "kind")
		load := arrivalLoad{
			seed:       rapid.Uint64().Draw(r, "seed"),
			prompt:     rapid.IntRange(100, 2000).Draw(r, "prompt"),
			completion: rapid.IntRange(50, 500).Draw(r, "completion"),
			takes:      time.Duration(rapid.IntRange(1, 40).Draw(r, "seconds")) * time.Second,
		}
		perSecond := 1000 / float64(load.prompt+load.completion)
		load.callers = 5 + int(2*perSecond*load.takes.Seconds())
		var s *chargingServer
		runVirtual(t, arrivalLimit, func(b *testLimiter) { s = load.play(b, kind, 10) }, guarded)
		if s.rejectedLate > 20 || s.accepted < 450_000 {
			r.Fatalf("the server rejected %d requests after two minutes, and %d of 600,000 tokens were used", s.rejectedLate, s.accepted)
		}
	})
}
