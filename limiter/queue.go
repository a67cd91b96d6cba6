package limiter

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// The classes that every limiter has. A call without a class is [Interactive].
const (
	Interactive = "interactive" // a person waits for the response; weight 9
	Batch       = "batch"       // background work; weight 1
)

const (
	interactiveWeight = 9
	batchWeight       = 1
)

// The bounds of a class's weight.
const (
	MinWeight = 1e-6
	MaxWeight = 1e6
)

// Classes adds classes to the built-in ones, or changes their weights. A weight must be from
// [MinWeight] to [MaxWeight]; otherwise [New] fails.
//
// While calls of several classes wait, each class gets a share of the account in proportion to its
// weight. Calls of one class are admitted first come, first served. A class without waiting calls
// leaves its share to the others, and cannot claim it later.
//
// A call's use of the account is measured in time: the time in which the limit allows one request or
// the call's tokens, whichever is longer. The estimate counts at first, and the actual usage after the
// call is settled. The module limiter/redislimiter ignores classes.
func Classes(weights map[string]float64) Option {
	weights = maps.Clone(weights)
	return func(l *Limiter) {
		for _, name := range slices.Sorted(maps.Keys(weights)) {
			l.queue.set(name, weights[name])
		}
	}
}

// A ClassError reports a call of an unknown class.
type ClassError struct {
	Class string   // name in the call
	Known []string // names of the limiter's classes, sorted
}

// Error returns the unknown name and the known ones.
func (e *ClassError) Error() string {
	return fmt.Sprintf("limiter: unknown class: must be one of %s, got %q", strings.Join(e.Known, ", "), e.Class)
}

// A class holds the waiting calls of one class, and how much of the account the class has used.
type class struct {
	name   string
	weight float64
	waitList

	// virtualTime is the account time, in seconds, that the class has used, divided by its weight.
	// The class with the lowest virtualTime is served next.
	virtualTime float64
}

// charge adds seconds of account time to the use of the class. A negative value is a refund.
func (c *class) charge(seconds float64) { c.virtualTime += seconds / c.weight }

// A queue holds the waiting calls, by class. It implements start-time fair queueing (P. Goyal,
// H. M. Vin and H. Cheng, 1996): of the classes with waiting calls, the one with the lowest virtual
// time is served next. The limiter's mutex guards it.
type queue struct {
	classes     []*class // highest weight first
	len         int
	retries     waitList // further attempts of calls in flight, which go first and wait only for a request
	virtualTime float64  // of the class served last, before it was charged
}

func newQueue() queue {
	return queue{classes: []*class{{name: Interactive, weight: interactiveWeight}, {name: Batch, weight: batchWeight}}}
}

// set sets the weight of a class, and adds the class if it is new.
func (q *queue) set(name string, weight float64) {
	if c := q.class(name); c != nil && name != "" {
		c.weight = weight
	} else {
		q.classes = append(q.classes, &class{name: name, weight: weight})
	}
	slices.SortStableFunc(q.classes, func(a, b *class) int { return cmp.Compare(b.weight, a.weight) })
}

// class returns the class with the given name, nil if it is unknown. "" means Interactive.
func (q *queue) class(name string) *class {
	name = cmp.Or(name, Interactive)
	for _, c := range q.classes {
		if c.name == name {
			return c
		}
	}
	return nil
}

func (q *queue) classError(name string) *ClassError {
	e := &ClassError{Class: name}
	for _, c := range q.classes {
		e.Known = append(e.Known, c.name)
	}
	slices.Sort(e.Known)
	return e
}

// validate returns an error for the first class with an invalid name or weight.
func (q *queue) validate() error {
	for _, c := range q.classes {
		switch {
		case c.name == "":
			return errors.New(`limiter: Classes: the name of a class must not be "" (calls without a class are "` + Interactive + `")`)
		case !(c.weight >= MinWeight && c.weight <= MaxWeight): // NaN fails too
			return fmt.Errorf("limiter: Classes: the weight of class %q must be from %v to %v, got %v", c.name, MinWeight, MaxWeight, c.weight)
		}
	}
	return nil
}

// next returns the class to serve next, nil if no call waits. Of two classes with the same virtual
// time it returns the one with the higher weight.
func (q *queue) next() (next *class) {
	for _, c := range q.classes {
		if c.head != nil && (next == nil || c.virtualTime < next.virtualTime) {
			next = c
		}
	}
	return next
}

// head returns the call to serve next, nil if no call waits.
func (q *queue) head() *waiter {
	switch {
	case q.len == 0:
		return nil
	case q.retries.head != nil:
		return q.retries.head
	}
	return q.next().head
}

// activate raises the virtual time of a class without waiting calls to that of the others. Its next
// call is then served at once, but the class cannot claim the time in which it was idle.
func (q *queue) activate(c *class) {
	if c.head != nil {
		return
	}
	clock := q.virtualTime
	if next := q.next(); next != nil {
		clock = next.virtualTime
	}
	c.virtualTime = max(c.virtualTime, clock)
}

func (q *queue) push(w *waiter) {
	q.len++
	if w.permit.admitted {
		w.list = &q.retries
	} else {
		q.activate(w.permit.class)
		w.list = &w.permit.class.waitList
	}
	w.list.push(w)
}

func (q *queue) remove(w *waiter) {
	w.list.remove(w)
	q.len--
}

// serve counts a call of class c as served and charges the class for it.
func (q *queue) serve(c *class, seconds float64) {
	q.activate(c)
	q.virtualTime = c.virtualTime
	c.charge(seconds)
}

// inOrder yields all waiting calls in the order in which they would be served if no call arrived.
// seconds returns the account time of a cost.
func (q *queue) inOrder(seconds func(cost) float64) func(yield func(*waiter) bool) {
	return func(yield func(*waiter) bool) {
		type turn struct {
			*class
			next  *waiter
			clock float64
		}
		for w := q.retries.head; w != nil; w = w.next {
			if !yield(w) {
				return
			}
		}
		var all [4]turn
		turns := all[:0]
		for _, c := range q.classes {
			if c.head != nil {
				turns = append(turns, turn{c, c.head, c.virtualTime})
			}
		}
		for {
			var next *turn
			for i := range turns {
				if t := &turns[i]; t.next != nil && (next == nil || t.clock < next.clock) {
					next = t
				}
			}
			if next == nil || !yield(next.next) {
				return
			}
			next.clock += seconds(next.next.cost) / next.weight
			next.next = next.next.next
		}
	}
}

// behind yields the calls that wait behind the head: first the calls of its list, then the others.
func (q *queue) behind(head *waiter) func(yield func(*waiter) bool) {
	return func(yield func(*waiter) bool) {
		for w := head.next; w != nil; w = w.next {
			if !yield(w) {
				return
			}
		}
		for _, c := range q.classes {
			if &c.waitList == head.list {
				continue
			}
			for w := c.head; w != nil; w = w.next {
				if !yield(w) {
					return
				}
			}
		}
	}
}

// seconds returns the time in which the limit allows c: its requests or its tokens, whichever takes
// longer.
func (l Limit) seconds(c cost) float64 {
	return math.Max(float64(c.requests)/l.RequestsPerSecond, 60*float64(c.tokens)/float64(l.TokensPerMinute))
}
