// Command observability prints OpenTelemetry traces and Prometheus metrics of the calls of a
// client. It does not need a key, because it uses the emulator, which returns one error.
//
// It is a separate module, so that the SDK does not depend on OpenTelemetry and Prometheus:
//
//	go -C examples/observability run .
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out io.Writer) error {
	server, err := emulator.Start(emulator.Config{Faults: []emulator.Fault{{Kind: emulator.FaultUnavailable, Nth: 2}}})
	if err != nil {
		return err
	}
	defer func() { _ = server.Close() }()

	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(printer{out}))
	defer func() { _ = provider.Shutdown(ctx) }()
	registry := prometheus.NewRegistry()

	client, err := ratelimited.New(ratelimited.Config{
		APIKey: "any", BaseURL: server.URL(), RequestsPerSecond: 2, BaseDelay: 10 * time.Millisecond,
		Observer: both(tracing(provider.Tracer("example")), metrics(registry)),
	})
	if err != nil {
		return err
	}
	defer client.Close()

	first, err := client.Beta.Conversations.Start(ctx, generated.StartConversationRequest{
		Model: "mistral-small-latest", Inputs: ratelimited.Text("Say hello"),
	})
	if err != nil {
		return err
	}
	stream, err := client.Beta.Conversations.AppendStream(ctx, first.ConversationID, generated.AppendConversationRequest{
		Inputs: ratelimited.Text("Count to 3"),
	})
	if err != nil {
		return err
	}
	for _, err := range stream.Events() {
		if err != nil {
			return err
		}
	}
	if _, err := client.Beta.Conversations.Get(ctx, "conv_none"); err == nil {
		return errors.New("the server returned a conversation that does not exist")
	}

	families, err := registry.Gather()
	if err != nil {
		return err
	}
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(out, family); err != nil {
			return err
		}
	}
	return nil
}

// both returns an observer that passes each event to two observers.
func both(a, b ratelimited.Observer) ratelimited.Observer {
	return func(ctx context.Context, operation string) (context.Context, func(ratelimited.CallEvent)) {
		ctx, notifyA := a(ctx, operation)
		ctx, notifyB := b(ctx, operation)
		return ctx, func(event ratelimited.CallEvent) { notifyA(event); notifyB(event) }
	}
}

// printer is a span exporter. It writes one line for each span and for each event of a span.
type printer struct{ out io.Writer }

func (p printer) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	for _, span := range spans {
		_, _ = fmt.Fprintf(p.out, "span %s: %s %s\n", span.Name(), span.Status().Code, span.Status().Description)
		for _, event := range span.Events() {
			_, _ = fmt.Fprintf(p.out, "  %s", event.Name)
			for _, a := range event.Attributes {
				_, _ = fmt.Fprintf(p.out, " %s=%s", a.Key, a.Value.Emit())
			}
			_, _ = fmt.Fprintln(p.out)
		}
	}
	return nil
}

func (printer) Shutdown(context.Context) error { return nil }
