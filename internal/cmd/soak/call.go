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

// call is one call of an operation from three sources: the goroutine that made it, the client's
// log, and the emulator's request log.
type call struct {
	id        string
	operation string // The name, as in [emulator.Stats.Operations].
	stream    bool

	writes atomic.Int32 // The requests that the transport wrote, including those that it sent again.

	mu sync.Mutex

	// From the client's log.
	estimates []int // One for each admission.
	attempts  []attempt
	ends      []end

	// From the goroutine that made the call.
	returned        time.Time // Zero until the call has returned.
	err             error
	ctxEnded        bool // The context ended before the call returned.
	opened          bool // The call returned a stream.
	closedElsewhere bool // Another goroutine closed the stream at an unknown event.
	reported        *int // The usage in the response; nil without usage.

	// received returns the tokens to settle for a response without usage; nil: the estimate.
	received func(estimate int) int

	// From the emulator's request log.
	serving  int // The requests that are not in the log yet.
	requests []emulator.Recorded
}

// attempt is one request in the client's log.
type attempt struct {
	permit    int // The number of its admission, from 1.
	status    int // 0 without a response.
	requestID string
	reached   bool // The server may have received it.
}

// end is the end of a permit in the client's log.
type end struct {
	permit     int // The number of the admission, from 1.
	used, lost int // The settled tokens.
	cancelled  bool
}

type callKey struct{}

// withContext returns a context that records the events of the call in c.
func (c *call) withContext(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(context.WithValue(ctx, callKey{}, c), &httptrace.ClientTrace{
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			if info.Err == nil {
				c.writes.Add(1)
			}
		},
	})
}

// logHandler is the handler of the client's log. It stores each record in the call of its context.
type logHandler struct{}

func (logHandler) Enabled(context.Context, slog.Level) bool { return true }
func (l logHandler) WithAttrs([]slog.Attr) slog.Handler     { return l }
func (l logHandler) WithGroup(string) slog.Handler          { return l }

func (logHandler) Handle(ctx context.Context, record slog.Record) error {
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
