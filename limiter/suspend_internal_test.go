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

// A process is suspended while calls wait and others are in flight, and continues seconds, a minute or hours later.
// Its timer fires late, and many calls can start at once. No server rejects a call because of that, all waits end,
// and the counters balance.
func TestSuspendedProcess(t *testing.T) {
	servers := map[string]func(span time.Duration, maximum float64) serverCounter{
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
		for _, tokens := range []int{0, 20, 900} { // requests decide, then tokens
			for _, asleep := range []time.Duration{time.Second, time.Minute + time.Second, 10 * time.Hour} {
				t.Run(fmt.Sprintf("%s, %d tokens, %v", l.name, tokens, asleep), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						w := newSuspendable(t, tokens, l.jitter, l.options)
						w.callers(60)
						w.until(2 * time.Second)
						w.suspend(asleep)
						w.callers(60) // which arrive at the end of the suspension
						w.resume()
						w.all.Wait()
						for _, server := range l.servers {
							w.check(server, servers[server])
						}
						w.balance(120)
					})
				})
			}
		}
	}
}

// The first call after a suspension finds a queue whose timer has not fired yet, and dispatches it.
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
					t.Errorf("%d calls wait, after %d before and one more", now, waiting)
				}
				w.resume()
				w.all.Wait()
				w.balance(21)
			})
		})
	}
}

// A suspendable is a limiter in a process that can be suspended, and the server's view of its calls.
type suspendable struct {
	*testing.T
	*Limiter
	epoch  time.Time
	tokens int // tokens of each call
	jitter time.Duration
	random *rand.Rand // guarded by mu
	all    sync.WaitGroup

	mu    sync.Mutex
	awake chan struct{} // closed while the process runs
	calls []*served
}

// served is one call from the server's view.
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

// sleep waits for d, and until the process is not suspended.
func (w *suspendable) sleep(d time.Duration) {
	time.Sleep(d)
	w.mu.Lock()
	awake := w.awake
	w.mu.Unlock()
	<-awake
}

// callers makes n calls at once. A request takes up to 50 ms to the server, and a call half a second there.
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

// suspend stops the process: the limiter's timer does not fire, and no call makes progress.
func (w *suspendable) suspend(asleep time.Duration) {
	w.Helper()
	w.mu.Lock()
	w.awake = make(chan struct{})
	w.mu.Unlock()
	w.Limiter.mu.Lock()
	if !w.timerSet || !w.timer.Stop() {
		w.Error("the timer is not set")
	}
	w.Limiter.mu.Unlock()
	time.Sleep(asleep)
}

// resume continues the process: the timer fires, late.
func (w *suspendable) resume() {
	close(w.awake)
	w.wake()
}

// check replays all calls to a server that counts in the given way.
func (w *suspendable) check(kind string, newCounter func(time.Duration, float64) serverCounter) {
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

// A serverCounter is a server's count of requests or tokens. Times must not decrease.
type serverCounter interface {
	left(at time.Duration) float64
	use(at time.Duration, n float64)
}

type bucketCounter struct {
	perNano, maximum, level float64
	last                    time.Duration
}

func newBucketCounter(span time.Duration, maximum float64) serverCounter {
	return &bucketCounter{perNano: maximum / float64(span), maximum: maximum, level: maximum}
}

func (b *bucketCounter) left(at time.Duration) float64 {
	b.level = min(b.maximum, b.level+float64(at-b.last)*b.perNano)
	b.last = at
	return b.level
}

func (b *bucketCounter) use(at time.Duration, n float64) {
	b.left(at)
	b.level -= n
}

// A windowCounter counts in fixed or sliding windows.
type windowCounter struct {
	span    time.Duration
	maximum float64
	fixed   bool
	uses    []counted
}

type counted struct {
	at time.Duration
	n  float64
}

func newFixedCounter(span time.Duration, maximum float64) serverCounter {
	return &windowCounter{span: span, maximum: maximum, fixed: true}
}

func newSlidingCounter(span time.Duration, maximum float64) serverCounter {
	return &windowCounter{span: span, maximum: maximum}
}

func (w *windowCounter) left(at time.Duration) float64 {
	from := at - w.span // exclusive
	if w.fixed {
		from = at - at%w.span - 1
	}
	left := w.maximum
	for _, u := range w.uses {
		if u.at > from {
			left -= u.n
		}
	}
	return left
}

func (w *windowCounter) use(at time.Duration, n float64) { w.uses = append(w.uses, counted{at, n}) }
