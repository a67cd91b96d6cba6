package limiter

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A process that is suspended, or a machine that sleeps, while calls wait and others
// are under way, and goes on seconds, a minute or hours later: its timer fires late, and
// everybody wants to start at once. No server refuses anybody for that, nobody is left
// waiting, and the books balance.
func TestSuspendedProcess(t *testing.T) {
	servers := map[string]func(span time.Duration, most float64) serverCounter{
		"bucket": newBucketCounter, "fixed windows": newFixedCounter, "sliding windows": newSlidingCounter,
	}
	for _, l := range []struct {
		name    string
		options []Option
		jitter  time.Duration
		servers []string
	}{
		{"bare", nil, 0, []string{"bucket"}},
		{"guarded", []Option{Guarded(DefaultJitter)}, DefaultJitter, []string{"bucket", "fixed windows", "sliding windows"}},
	} {
		for _, tokens := range []int{0, 20, 900} { // the requests decide, and the tokens
			for _, asleep := range []time.Duration{time.Second, time.Minute + time.Second, 10 * time.Hour} {
				t.Run(fmt.Sprintf("%s, %d tokens, %v", l.name, tokens, asleep), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						w := newSuspendable(t, tokens, l.jitter, l.options)
						w.callers(60)
						w.until(2 * time.Second)
						w.suspend(asleep)
						w.callers(60) // who come as soon as they can
						w.resume()
						w.all.Wait()
						for _, server := range l.servers {
							w.serverCounter(server, servers[server])
						}
						w.balance(120)
					})
				})
			}
		}
	}
}

// The first who comes after a suspension finds the queue waiting for a timer that has
// not fired yet, and sets it going.
func TestCallBeforeALateTimer(t *testing.T) {
	for name, options := range map[string][]Option{"bare": nil, "guarded": {Guarded(DefaultJitter)}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newSuspendable(t, 20, 0, options)
				w.callers(20)
				w.until(time.Second)
				waiting := w.Snapshot().Waiting
				w.suspend(time.Hour)
				w.callers(1)
				if now := w.Snapshot().Waiting; now > waiting-4 {
					t.Errorf("%d wait, of %d before and one more", now, waiting)
				}
				w.resume()
				w.all.Wait()
				w.balance(21)
			})
		})
	}
}

// A sleeper is a limiter in a process that can be suspended, and what its server saw.
type suspendable struct {
	*testing.T
	*Limiter
	epoch  time.Time
	tokens int // of each call
	jitter time.Duration
	random *rand.Rand // of one who holds mu
	all    sync.WaitGroup

	mu    sync.Mutex
	awake chan struct{} // closed while the process runs
	calls []*served
}

// served is one call as the server saw it.
type served struct{ arrived, ended time.Duration }

var suspendableLimit = Limit{RequestsPerSecond: 5, TokensPerMinute: 6000}

func newSuspendable(t *testing.T, tokens int, jitter time.Duration, options []Option) *suspendable {
	t.Helper()
	l, err := New(suspendableLimit, options...)
	if err != nil {
		t.Fatal(err)
	}
	w := &suspendable{
		T: t, Limiter: l, epoch: time.Now(), tokens: tokens, jitter: jitter,
		random: rand.New(rand.NewPCG(1, uint64(tokens))), awake: make(chan struct{}),
	}
	close(w.awake)
	return w
}

func (w *suspendable) now() time.Duration { return time.Since(w.epoch) }

func (w *suspendable) until(d time.Duration) {
	time.Sleep(d - w.now())
	synctest.Wait()
}

// sleep lets time pass, and ends no sooner than the process runs.
func (w *suspendable) sleep(d time.Duration) {
	time.Sleep(d)
	w.mu.Lock()
	awake := w.awake
	w.mu.Unlock()
	<-awake
}

// callers make so many calls at once. A call takes up to 50 ms to the server, where it
// takes half a second.
func (w *suspendable) callers(n int) {
	for range n {
		w.all.Go(func() {
			permit, err := w.Acquire(context.Background(), w.tokens)
			if err != nil {
				w.Error(err)
				return
			}
			w.mu.Lock()
			call := &served{arrived: w.now() + time.Duration(w.random.Int64N(int64(w.jitter)+1))}
			w.calls = append(w.calls, call)
			w.mu.Unlock()
			w.sleep(500 * time.Millisecond)
			call.ended = w.now()
			permit.Settle(w.tokens)
		})
	}
	synctest.Wait()
}

// suspend stops the process: what the limiter's timer should do does not happen, and no
// call goes on.
func (w *suspendable) suspend(asleep time.Duration) {
	w.Helper()
	w.mu.Lock()
	w.awake = make(chan struct{})
	w.mu.Unlock()
	w.Limiter.mu.Lock()
	if !w.timerSet || !w.timer.Stop() {
		w.Error("nobody waits for the timer")
	}
	w.Limiter.mu.Unlock()
	time.Sleep(asleep)
}

// resume lets it go on: the timer fires, late.
func (w *suspendable) resume() {
	close(w.awake)
	w.wake()
}

// judge has a server of one kind look at all calls.
func (w *suspendable) serverCounter(kind string, newCounter func(time.Duration, float64) serverCounter) {
	w.Helper()
	slices.SortFunc(w.calls, func(a, b *served) int { return int(a.arrived - b.arrived) })
	requests := newCounter(time.Second, suspendableLimit.RequestsPerSecond)
	tokens := newCounter(time.Minute, float64(suspendableLimit.TokensPerMinute))
	ends := slices.Clone(w.calls)
	slices.SortFunc(ends, func(a, b *served) int { return int(a.ended - b.ended) })
	for _, call := range w.calls {
		for len(ends) > 0 && ends[0].ended <= call.arrived {
			tokens.use(ends[0].ended, float64(w.tokens))
			ends = ends[1:]
		}
		if left := requests.left(call.arrived); left < 1-1e-6 {
			w.Errorf("%s: at %v a request arrives, %v are left", kind, call.arrived, left)
		}
		requests.use(call.arrived, 1)
		if left := tokens.left(call.arrived); w.tokens > 0 && left < 1-1e-6 {
			w.Errorf("%s: at %v a call arrives, %v tokens are left", kind, call.arrived, left)
		}
	}
}

func (w *suspendable) balance(calls int64) {
	w.Helper()
	s := w.Snapshot()
	if s.InFlight != 0 || s.HeldTokens != 0 || s.Waiting != 0 || s.Admitted != calls || s.Settled != calls ||
		s.TokensSettled != calls*int64(w.tokens) || s.TokensRefunded != 0 || s.TokensCharged != 0 || s.Abandoned != 0 {
		w.Errorf("after %d calls: %d in flight with %d tokens, %d waiting; %+v", calls, s.InFlight, s.HeldTokens, s.Waiting, s.Counters)
	}
}

// A judge is a server's count of requests or tokens: so many in a span. Times run
// forwards.
type serverCounter interface {
	left(at time.Duration) float64
	use(at time.Duration, n float64)
}

type bucketCounter struct {
	perNano, most, level float64
	last                 time.Duration
}

func newBucketCounter(span time.Duration, most float64) serverCounter {
	return &bucketCounter{perNano: most / float64(span), most: most, level: most}
}

func (b *bucketCounter) left(at time.Duration) float64 {
	b.level = min(b.most, b.level+float64(at-b.last)*b.perNano)
	b.last = at
	return b.level
}

func (b *bucketCounter) use(at time.Duration, n float64) {
	b.left(at)
	b.level -= n
}

// A windowJudge counts in windows: fixed ones, or one that slides.
type windowCounter struct {
	span  time.Duration
	most  float64
	fixed bool
	uses  []counted
}

type counted struct {
	at time.Duration
	n  float64
}

func newFixedCounter(span time.Duration, most float64) serverCounter {
	return &windowCounter{span: span, most: most, fixed: true}
}

func newSlidingCounter(span time.Duration, most float64) serverCounter {
	return &windowCounter{span: span, most: most}
}

func (w *windowCounter) left(at time.Duration) float64 {
	from := at - w.span // and not from itself
	if w.fixed {
		from = at - at%w.span - 1
	}
	left := w.most
	for _, u := range w.uses {
		if u.at > from {
			left -= u.n
		}
	}
	return left
}

func (w *windowCounter) use(at time.Duration, n float64) { w.uses = append(w.uses, counted{at, n}) }
