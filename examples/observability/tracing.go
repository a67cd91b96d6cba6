package main

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// tracing returns an observer that starts a span for each call, with an event for each step. The
// context of the request contains the span, so an instrumented transport in Config.HTTPClient
// creates child spans.
func tracing(tracer trace.Tracer) ratelimited.Observer {
	return func(ctx context.Context, operation string) (context.Context, func(ratelimited.CallEvent)) {
		ctx, span := tracer.Start(ctx, "mistral."+operation, trace.WithSpanKind(trace.SpanKindClient))
		return ctx, func(event ratelimited.CallEvent) {
			switch e := event.(type) {
			case ratelimited.Acquired:
				span.AddEvent("acquired", trace.WithAttributes(
					attribute.String("model", e.Model), attribute.Int("tokens", e.Tokens), attribute.Float64("waited_seconds", e.WaitDuration.Seconds())))
			case ratelimited.Attempted:
				span.AddEvent("attempted", trace.WithAttributes(
					attribute.Int("http.response.status_code", e.Status), attribute.String("request_id", e.RequestID)))
			case ratelimited.Retrying:
				span.AddEvent("retrying", trace.WithAttributes(attribute.Float64("wait_seconds", e.Wait.Seconds())))
			case ratelimited.Held:
				span.AddEvent("held", trace.WithAttributes(attribute.Float64("waited_seconds", e.WaitDuration.Seconds())))
			case ratelimited.OutageBegan:
				span.AddEvent("outage began", trace.WithAttributes(attribute.String("host", e.Host), attribute.String("model", e.Model)))
			case ratelimited.OutageEnded:
				span.AddEvent("outage ended", trace.WithAttributes(attribute.Float64("outage_seconds", e.Duration.Seconds())))
			case ratelimited.Settled:
				span.SetAttributes(attribute.Int("tokens.estimated", e.Estimated), attribute.Int("tokens.used", e.Used))
			case ratelimited.Ended:
				if e.Err != nil {
					span.SetStatus(codes.Error, e.Err.Error())
				}
				span.End()
			}
		}
	}
}
