package limiter

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// Compares the list with a sorted slice.
func TestQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q waitList
		var want []*waiter
		for i, number := range rapid.SliceOf(rapid.Uint64Range(1, 20)).Draw(t, "places") {
			w := &waiter{permit: &Permit{place: Place{number}}}
			at := len(want)
			for at > 0 && w.permit.place.Before(want[at-1].permit.place) {
				at--
			}
			if got := q.position(w.permit.place); got != at+1 {
				t.Fatalf("position %d, want %d", got, at+1)
			}
			q.push(w)
			want = slices.Insert(want, at, w)
			if i%5 == 4 {
				at := rapid.IntRange(0, len(want)-1).Draw(t, "promote")
				promoted := want[at]
				q.promote(promoted)
				want = slices.Insert(slices.Delete(want, at, at+1), 0, promoted)
			}
			if i%3 == 2 {
				at := rapid.IntRange(0, len(want)-1).Draw(t, "remove")
				q.remove(want[at])
				want = slices.Delete(want, at, at+1)
			}
			var forward, backward []*waiter
			for w := q.head; w != nil; w = w.next {
				forward = append(forward, w)
			}
			for w := q.tail; w != nil; w = w.prev {
				backward = append(backward, w)
			}
			slices.Reverse(backward)
			if !slices.Equal(forward, want) || !slices.Equal(backward, want) || q.len != len(want) {
				t.Fatalf("list is not in order after %d steps", i+1)
			}
		}
	})
}

// A limiter has one timer. It runs only while a call waits, and is set again only when the head's time has
// changed.
func TestTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := New(Limit{RequestsPerSecond: 1, TokensPerMinute: 60})
		if err != nil {
			t.Fatal(err)
		}
		running := func() bool { // Stop reports whether it was running; then reset it
			if l.timer == nil || !l.timer.Stop() {
				return false
			}
			l.timer.Reset(time.Until(l.wakeAt))
			return true
		}
		wait := func(ctx context.Context, tokens int) {
			go func() {
				if p, err := l.Acquire(ctx, tokens); err == nil {
					p.Settle(tokens)
				}
			}()
			synctest.Wait()
		}

		p, _ := l.Acquire(t.Context(), 0)
		if l.timer != nil {
			t.Error("the limiter has a timer although no call waited")
		}
		p.Settle(0)

		wait(t.Context(), 0)
		if !running() {
			t.Fatal("the limiter does not have a timer although a call waits")
		}
		timer := l.timer
		time.Sleep(time.Second)
		synctest.Wait()
		if running() {
			t.Error("the timer runs after the last waiter was admitted")
		}

		ctx, cancel := context.WithCancel(t.Context())
		wait(ctx, 0)
		wait(ctx, 0)
		at := l.wakeAt
		if time.Until(at) != time.Second || !running() {
			t.Errorf("the timer fires in %v, want 1 s", time.Until(at))
		}
		cancel()
		synctest.Wait()
		if running() {
			t.Error("the timer runs after the last waiter left")
		}

		time.Sleep(time.Second)
		p, _ = l.Acquire(t.Context(), 0)
		go func() { _ = p.Retry(t.Context()) }()
		synctest.Wait()
		if !running() {
			t.Error("the timer does not run although a retry waits")
		}
		p.Settle(0)
		if running() {
			t.Error("the timer runs after the permit of the last retry was settled")
		}
		if l.timer != timer {
			t.Error("the limiter made a second timer")
		}
	})
}
