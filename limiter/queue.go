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

// The classes that every limiter knows. A call that names none is [Interactive].
const (
	Interactive = "interactive" // somebody waits for the reply; weight 9
	Batch       = "batch"       // nobody does; weight 1
)

const (
	interactiveWeight = 9
	batchWeight       = 1
)

// The weights that a class may have.
const (
	MinWeight = 1e-6 // at least
	MaxWeight = 1e6  // at most
)

// Classes adds classes to those that every limiter knows, or changes their weights: from [MinWeight] to
// [MaxWeight]. While calls of several classes wait, each class gets a share of the account
// in proportion to its weight, first come, first served within the class. What a call uses
// of the account is the time in which the limit allows as much: that of one request or of its tokens, whichever
// is longer; of its estimate at first, and of what it used once it is settled. A class that nobody waits in leaves its
// share to the others, and gets no more than its share later. Calls that share a
// limit through a Redis take turns whatever their classes are.
func Classes(weights map[string]float64) Option {
	weights = maps.Clone(weights)
	return func(l *Limiter) {
		for _, name := range slices.Sorted(maps.Keys(weights)) {
			l.queue.set(name, weights[name])
		}
	}
}

// A ClassError reports a call of a class that the limiter does not know.
type ClassError struct {
	Class string   // as the call named it
	Known []string // sorted
}

// Error names the class and those that are known.
func (e *ClassError) Error() string {
	return fmt.Sprintf("limiter: unknown class %q: must be one of %s", e.Class, strings.Join(e.Known, ", "))
}

// A class is the calls of one class that wait, and what the class has used.
type class struct {
	name   string
	weight float64
	waitList

	// virtualTime is how long the account would have taken for what the class has used, at the share
	// that its weight is. The class whose virtualTime is behind those of the others is served next.
	virtualTime float64
}

// charge adds so many seconds of the account to what the class has used, or takes them back.
func (c *class) charge(seconds float64) { c.virtualTime += seconds / c.weight }

// A queue is the calls that wait, by class. Of the classes in which calls wait, the one that has
// used least for its weight is served ("start-time fair queueing", P. Goyal, H. M. Vin and
// H. Cheng, 1996). The limiter's mutex guards it.
type queue struct {
	classes     []*class // by weight, the largest first
	len         int
	retries     waitList // further attempts of calls in flight, which wait for a request only: they go first
	virtualTime float64  // of the class that was served last, before that
}

func newQueue() queue {
	return queue{classes: []*class{{name: Interactive, weight: interactiveWeight}, {name: Batch, weight: batchWeight}}}
}

// set sets the weight of a class.
func (q *queue) set(name string, weight float64) {
	if c := q.class(name); c != nil && name != "" {
		c.weight = weight
	} else {
		q.classes = append(q.classes, &class{name: name, weight: weight})
	}
	slices.SortStableFunc(q.classes, func(a, b *class) int { return cmp.Compare(b.weight, a.weight) })
}

// class returns the class of a name, nil if it is unknown.
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

// validate returns an error that says what is wrong with the classes.
func (q *queue) validate() error {
	for _, c := range q.classes {
		switch {
		case c.name == "":
			return errors.New(`limiter: class "" cannot have a weight: calls of no class are of class "` + Interactive + `"`)
		case !(c.weight >= MinWeight && c.weight <= MaxWeight): // NaN fails too
			return fmt.Errorf("limiter: the weight of class %q is %v: must be from %v to %v", c.name, c.weight, MinWeight, MaxWeight)
		}
	}
	return nil
}

// next returns the class that is served next, nil if nobody waits. Of two that have used the same it
// is the one of more weight.
func (q *queue) next() (next *class) {
	for _, c := range q.classes {
		if c.head != nil && (next == nil || c.virtualTime < next.virtualTime) {
			next = c
		}
	}
	return next
}

// head returns the call that is served next, nil if nobody waits.
func (q *queue) head() *waiter {
	switch {
	case q.len == 0:
		return nil
	case q.retries.head != nil:
		return q.retries.head
	}
	return q.next().head
}

// activate has a class in which nobody waits begin where the others are: its turn comes at once, and it has
// no claim to what it has not used.
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

// serve counts a call as served that uses so many seconds of the account.
func (q *queue) serve(c *class, seconds float64) {
	q.activate(c)
	q.virtualTime = c.virtualTime
	c.charge(seconds)
}

// inOrder yields all calls that wait in the order in which they would be served if nobody came.
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

// behind yields the calls that wait behind the head: first those of its line.
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

// seconds returns how long the account takes for what c costs: for its requests or its tokens, whichever
// takes longer.
func (l Limit) seconds(c cost) float64 {
	return math.Max(float64(c.requests)/l.RequestsPerSecond, 60*float64(c.tokens)/float64(l.TokensPerMinute))
}
