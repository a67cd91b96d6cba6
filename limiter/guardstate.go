package limiter

import (
	"fmt"
	"math"
	"time"
)

// guardState is the saved state of a [guard]. Times are durations since its epoch.
type guardState struct {
	Now      time.Duration `json:"now"`
	Latest   time.Duration `json:"latest,omitempty"`
	Requests []useState    `json:"requests,omitempty"`
	Early    []useState    `json:"early,omitempty"` // tokens, with prompts counted on arrival
	Late     []useState    `json:"late,omitempty"`  // tokens, with prompts counted at the end

	Arrival bool     `json:"arrival,omitempty"`
	More    evidence `json:"more,omitzero"`
	Less    evidence `json:"less,omitzero"`

	ExtraJitter     time.Duration `json:"extra,omitempty"`
	ExtraJitterFrom time.Duration `json:"extraFrom,omitempty"`
	ReservedShare   float64       `json:"caution,omitempty"`
	ReservedFrom    time.Duration `json:"cautionFrom,omitempty"`
	UnexplainedAt   time.Duration `json:"unexplainedAt,omitempty"`

	MeanSquare   float64       `json:"square,omitempty"`
	MeanActual   float64       `json:"actual,omitempty"`
	MeanEstimate float64       `json:"expected,omitempty"`
	MeanDuration time.Duration `json:"took,omitempty"`

	ExternalUsage int           `json:"foreign,omitempty"`
	ExternalFrom  time.Duration `json:"foreignFrom,omitempty"`
}

// useState is a saved use: from, to, and the number of units.
type useState [3]int64

// save returns the guard's state. The calls in flight and the expected use count as used.
func (g *guard) save(now time.Duration, coming cost) *guardState {
	countEarly, countLate := g.windows()
	requests, early, late := g.requests.clone(), countEarly.clone(), countLate.clone()
	for _, add := range []struct {
		*window
		n int
	}{{&requests, coming.requests}, {&early, g.smallTokens + g.largeTokens - g.prompts - g.largePrompts + coming.tokens}, {&late, g.smallTokens + g.largeTokens + coming.tokens}} {
		if add.n > 0 { // adding 0 would extend the latest use
			add.add(now, add.n)
		}
	}
	return &guardState{
		Now: now, Latest: g.lastSent, Requests: requests.save(), Early: early.save(), Late: late.save(),
		Arrival: g.onArrival, More: g.more, Less: g.less,
		ExtraJitter: g.extraJitter, ExtraJitterFrom: g.extraJitterFrom, ReservedShare: g.reservedShare, ReservedFrom: g.reservedFrom, UnexplainedAt: g.unexplainedAt,
		MeanSquare: g.meanSquare, MeanActual: g.meanActual, MeanEstimate: g.meanEstimate, MeanDuration: g.meanDuration,
		ExternalUsage: g.externalUsage, ExternalFrom: g.externalFrom,
	}
}

// restore restores a state, saved the given time ago, into a new guard.
func (g *guard) restore(now time.Time, s guardState, elapsed time.Duration) {
	g.epoch = now.Add(-s.Now - min(elapsed, maxAge))
	g.lastSent = s.Latest
	g.requests.restore(s.Requests)
	if g.onArrival != s.Arrival {
		g.switchCharging()
	}
	early, late := g.windows()
	early.restore(s.Early)
	late.restore(s.Late)
	g.more, g.less = s.More, s.Less
	g.extraJitter, g.extraJitterFrom = min((maxJitterFactor-1)*g.jitter, s.ExtraJitter), s.ExtraJitterFrom
	g.reservedShare, g.reservedFrom, g.unexplainedAt = min(1, s.ReservedShare), s.ReservedFrom, s.UnexplainedAt
	g.meanSquare = min(s.MeanSquare, math.Pow(largeShare*float64(g.tokens.limit), 2))
	g.meanActual, g.meanEstimate, g.meanDuration = s.MeanActual, s.MeanEstimate, s.MeanDuration
	g.externalUsage, g.externalFrom = min(MaxTokens, s.ExternalUsage), s.ExternalFrom
	g.at(now)
}

// maxAge bounds the assumed age of a state, so that times since the epoch do not overflow.
const maxAge = 100 * 365 * 24 * time.Hour

// check returns an error if the state is not valid.
func (s guardState) check() error {
	if s.Now < 0 || s.Now > maxAge {
		return fmt.Errorf("now must be from 0 to %v, got %v", maxAge, s.Now)
	}
	for name, uses := range map[string][]useState{"requests": s.Requests, "early": s.Early, "late": s.Late} {
		if len(uses) > 2*windowEntries {
			return fmt.Errorf("%s must have at most %d entries, got %d", name, 2*windowEntries, len(uses))
		}
		last := int64(0)
		for i, u := range uses {
			if u[0] < last || u[1] < u[0] || u[1] > int64(s.Now) || u[2] < 0 || u[2] > MaxTokens {
				return fmt.Errorf("%s[%d] must be two ascending times, not after now, and a number of units, got %v", name, i, u)
			}
			last = u[1]
		}
	}
	for name, v := range map[string]float64{
		"extra": float64(s.ExtraJitter), "caution": s.ReservedShare, "square": s.MeanSquare, "actual": s.MeanActual, "expected": s.MeanEstimate, "took": float64(s.MeanDuration), "foreign": float64(s.ExternalUsage),
	} {
		if v < 0 {
			return fmt.Errorf("%s must be at least 0, got %v", name, v)
		}
	}
	for name, at := range map[string]time.Duration{
		"latest": s.Latest, "extraFrom": s.ExtraJitterFrom, "cautionFrom": s.ReservedFrom, "unexplainedAt": s.UnexplainedAt, "foreignFrom": s.ExternalFrom,
	} {
		if at > s.Now || at < -maxAge {
			return fmt.Errorf("%s must not be after now (%v), got %v", name, s.Now, at)
		}
	}
	return nil
}

func (w *window) save() []useState {
	uses := make([]useState, 0, w.count)
	for i := range w.count {
		if u := w.at(i); u.n > 0 {
			uses = append(uses, useState{int64(u.from), int64(u.to), int64(u.n)})
		}
	}
	return uses
}

// restore fills an empty window with saved uses.
func (w *window) restore(uses []useState) {
	for _, u := range uses {
		if w.count == len(w.uses) {
			w.grow()
		}
		w.count++
		*w.at(w.count - 1) = use{time.Duration(u[0]), time.Duration(u[1]), int(u[2])}
		w.used += int(u[2])
	}
}
