package main

import (
	"context"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// metrics counts what calls do. Waiting beside calls shows when the limits are what is
// short, and tokens estimated beside those used what the estimates are worth.
func metrics(registry prometheus.Registerer) ratelimited.Observer {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "mistral", Name: name, Help: help}, labels)
		registry.MustRegister(c)
		return c
	}
	calls := counter("calls_total", "Calls that ended.", "operation", "ok")
	attempts := counter("attempts_total", "Requests sent, by the status of their reply; 0 is none.", "operation", "status")
	waited := counter("limiter_wait_seconds_total", "Time spent waiting for the limiter.", "operation")
	held := counter("held_seconds_total", "Time spent waiting for the end of an outage.", "operation")
	outages := counter("outages_total", "Outages of a server, or of one model.", "host", "model")
	tokens := counter("tokens_total", "Tokens, as estimated and as used.", "operation", "kind")
	return func(ctx context.Context, operation string) (context.Context, func(ratelimited.CallEvent)) {
		return ctx, func(event ratelimited.CallEvent) {
			switch e := event.(type) {
			case ratelimited.Acquired:
				waited.WithLabelValues(operation).Add(e.WaitDuration.Seconds())
			case ratelimited.Attempted:
				attempts.WithLabelValues(operation, strconv.Itoa(e.Status)).Inc()
			case ratelimited.Held:
				held.WithLabelValues(operation).Add(e.WaitDuration.Seconds())
			case ratelimited.OutageBegan:
				outages.WithLabelValues(e.Host, e.Model).Inc()
			case ratelimited.Settled:
				if e.Cancelled { // nothing was sent
					return
				}
				tokens.WithLabelValues(operation, "estimated").Add(float64(e.Estimated))
				tokens.WithLabelValues(operation, "used").Add(float64(e.Used + e.UnconfirmedTokens))
			case ratelimited.Ended:
				calls.WithLabelValues(operation, strconv.FormatBool(e.Err == nil)).Inc()
			}
		}
	}
}
