package ratelimited

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// The classes that every client has: see [WithClass].
const (
	Interactive = limiter.Interactive // a person waits for the response; the default
	Batch       = limiter.Batch       // the response is not urgent
)

type classKey struct{}

// WithClass returns a context whose calls have the given class: [Interactive], which is the default,
// [Batch], or one of [Config.Classes]. While calls of several classes wait, each class gets a share of
// the limits in proportion to its weight. For example, interactive calls get 90% while batch calls
// wait too. Other classes use the part of a share that a class does not need. Within a class, calls start in the order in
// which they arrive. limiter/redislimiter ignores classes.
//
// A call with an unknown class fails with a [*ConfigError].
func WithClass(ctx context.Context, class string) context.Context {
	return context.WithValue(ctx, classKey{}, class)
}

// class returns the class of the call.
func (c *call) class() string {
	class, _ := c.ctx.Value(classKey{}).(string)
	return class
}

// checkClass rejects a class that the client does not have.
func (c *call) checkClass() error {
	switch class := c.class(); class {
	case "", Interactive, Batch:
		return nil
	default:
		if _, ok := c.client.config.Classes[class]; ok {
			return nil
		}
		known := slices.Sorted(maps.Keys(c.client.config.Classes))
		known = slices.Compact(slices.Sorted(slices.Values(append(known, Interactive, Batch))))
		return &ConfigError{Field: "WithClass", Value: class, Rule: "must be one of " + strings.Join(known, ", ")}
	}
}

// checkClasses rejects the weights that the limiter would reject.
func checkClasses(weights map[string]float64) error {
	for _, class := range slices.Sorted(maps.Keys(weights)) {
		switch weight := weights[class]; {
		case class == "":
			return &ConfigError{Field: `Classes[""]`, Value: weight, Rule: "must have a class name"}
		case !(weight >= limiter.MinWeight && weight <= limiter.MaxWeight): // NaN fails too
			return &ConfigError{
				Field: fmt.Sprintf("Classes[%q]", class), Value: weight,
				Rule: fmt.Sprintf("must be from %v to %v", limiter.MinWeight, limiter.MaxWeight),
			}
		}
	}
	return nil
}
