package main

import (
	"testing"
	"time"
)

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// step checks what is left in a counter and how long it takes until want is left, and then takes
// some units.
type step struct {
	at   time.Duration
	left float64
	want float64
	wait time.Duration
	take float64
}

func TestCounters(t *testing.T) {
	for _, test := range []struct {
		name    string
		counter counter
		steps   []step
	}{
		{"bucket", newBucket(10, 10*time.Second), []step{
			{ms(0), 10, 10, 0, 8},
			{ms(0), 2, 4, ms(2000), 0},
			{ms(3000), 5, 5, 0, 9},         // leaves a debt
			{ms(3000), -4, 1, ms(5000), 0}, // the debt is repaid first
			{ms(8000), 1, 1, 0, 0},
			{ms(60_000), 10, 10, 0, 0}, // at most the capacity
		}},
		{"fixed", newFixed(10, 10*time.Second), []step{
			{ms(9000), 10, 10, 0, 10},
			{ms(9999), 0, 1, ms(1), 0},
			{ms(10_000), 10, 10, 0, 12}, // twice the limit within a second
			{ms(12_000), -2, 1, ms(8000), 0},
			{ms(35_000), 10, 10, 0, 3}, // the next window ignores the excess
			{ms(35_000), 7, 8, ms(5000), 0},
		}},
		{"sliding", newSliding(10, 10*time.Second), []step{
			{ms(9000), 10, 10, 0, 6},
			{ms(10_000), 4, 4, 0, 4},
			{ms(10_000), 0, 1, ms(9000), 0},
			{ms(10_000), 0, 7, ms(10_000), 0},
			{ms(18_999), 0, 1, ms(1), 0},
			{ms(19_000), 6, 6, 0, 8},
			{ms(19_000), -2, 1, ms(1000), 0},
			{ms(20_000), 2, 2, 0, 0},
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for i, s := range test.steps {
				if left := test.counter.left(s.at); left != s.left {
					t.Errorf("step %d: %v are left, want %v", i, left, s.left)
				}
				if wait := test.counter.wait(s.at, s.want); wait != s.wait {
					t.Errorf("step %d: the wait until %v are left is %v, want %v", i, s.want, wait, s.wait)
				}
				test.counter.take(s.at, s.take)
			}
		})
	}
}
