package main

import (
	"context"
	"log/slog"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
)

// A call is one call of an operation, as three parties saw it: the goroutine that made
// it, the client, by its log, and the emulator, by its record.
type call struct {
	id        string
	operation string // as in [emulator.Stats.Operations]
	stream    bool

	writes atomic.Int32 // requests that the transport wrote, those that it sent again by itself included

	mu sync.Mutex

	// By the client's log.
	estimates []int // of each admission
	attempts  []attempt
	ends      []end // of permits

	// By the goroutine that made the call.
	returned time.Time // zero until it has
	err      error
	ctxEnded bool // its context ended before it returned
	opened   bool // a stream was returned
	outside  bool // it was closed by another goroutine: nobody knows at which event
	reported *int // the usage that the reply told, if it told any

	// What a reply that told no usage is to be paid with, of this estimate; nil: all of it.
	received func(estimate int) int

	// By the emulator's record.
	serving  int // requests that are not in it yet
	requests []emulator.Recorded
}

// An attempt is one request in the client's log.
type attempt struct {
	permit    int // number of its admission, from 1
	status    int // 0 without a reply
	requestID string
	reached   bool // the server may have seen it
}

// An end is that of a permit in the client's log.
type end struct {
	permit     int // number of the admission, from 1
	used, lost int // as settled
	cancelled  bool
}

type callKey struct{}

// in returns a context in which all that happens is noted in c.
func (c *call) in(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(context.WithValue(ctx, callKey{}, c), &httptrace.ClientTrace{
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			if info.Err == nil {
				c.writes.Add(1)
			}
		},
	})
}

// listener is the handler of the client's log: it notes each record in the call whose
// context the record came with.
type listener struct{}

func (listener) Enabled(context.Context, slog.Level) bool { return true }
func (l listener) WithAttrs([]slog.Attr) slog.Handler     { return l }
func (l listener) WithGroup(string) slog.Handler          { return l }

func (listener) Handle(ctx context.Context, record slog.Record) error {
	c, ok := ctx.Value(callKey{}).(*call)
	if !ok {
		return nil
	}
	attrs := map[string]slog.Value{}
	record.Attrs(func(a slog.Attr) bool {
		attrs[a.Key] = a.Value
		return true
	})
	number := func(name string) int { return int(attrs[name].Int64()) }
	c.mu.Lock()
	defer c.mu.Unlock()
	switch record.Message {
	case "mistral: acquired":
		c.estimates = append(c.estimates, number("tokens"))
	case "mistral: response":
		c.attempts = append(c.attempts, attempt{permit: len(c.estimates), status: number("status"), requestID: attrs["request_id"].String(), reached: true})
	case "mistral: no response":
		c.attempts = append(c.attempts, attempt{permit: len(c.estimates), reached: attrs["reached"].Bool()})
	case "mistral: settled":
		c.ends = append(c.ends, end{permit: len(c.estimates), used: number("used"), lost: number("lost")})
	case "mistral: cancelled":
		c.ends = append(c.ends, end{permit: len(c.estimates), cancelled: true})
	}
	return nil
}
