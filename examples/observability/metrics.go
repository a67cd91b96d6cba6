package main

import (
	"context"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// metrics returns an observer that counts calls, attempts, wait times and tokens. Long wait times
// show that the limits are too low. The ratio of estimated to used tokens shows the quality of
// the estimates.
func metrics(registry prometheus.Registerer) ratelimited.Observer {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "mistral", Name: name, Help: help}, labels)
		registry.MustRegister(c)
		return c
	}
	calls := counter("calls_total", "Calls that ended.", "operation", "ok")
	attempts := counter("attempts_total", "Requests sent, by response status code; 0 without a response.", "operation", "status")
	waited := counter("limiter_wait_seconds_total", "Time spent waiting for the limiter.", "operation")
	held := counter("held_seconds_total", "Time spent waiting for the end of an outage.", "operation")
	outages := counter("outages_total", "Outages of a server or of one model.", "host", "model")
	tokens := counter("tokens_total", "Estimated and used tokens.", "operation", "kind")
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
				if e.Cancelled { // the call did not send a request
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
