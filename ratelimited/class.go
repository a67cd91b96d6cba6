package ratelimited

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// The classes that every client knows: see [WithClass].
const (
	Interactive = limiter.Interactive // somebody waits for the reply: the default
	Batch       = limiter.Batch       // nobody does
)

type classKey struct{}

// WithClass has all calls that are made with the context be of a class: [Interactive], which calls are
// without it, [Batch], or one of [Config.Classes]. While calls of several classes wait, each class gets a share
// of the account in proportion to its weight, first come, first served within the class: interactive calls
// get nine tenths beside a batch. What a class does not need, others use. Where [Config.Limiter] is a Redis, calls take
// turns whatever their classes are.
//
// A call of an unknown class fails with a [*ConfigError].
func WithClass(ctx context.Context, class string) context.Context {
	return context.WithValue(ctx, classKey{}, class)
}

// class returns the class of the call.
func (f *flight) class() string {
	class, _ := f.ctx.Value(classKey{}).(string)
	return class
}

// checkClass refuses a call of a class that the client does not know.
func (f *flight) checkClass() error {
	switch class := f.class(); class {
	case "", Interactive, Batch:
		return nil
	default:
		if _, ok := f.client.config.Classes[class]; ok {
			return nil
		}
		known := slices.Sorted(maps.Keys(f.client.config.Classes))
		known = slices.Compact(slices.Sorted(slices.Values(append(known, Interactive, Batch))))
		return &ConfigError{Field: "WithClass", Value: class, Rule: "must be one of " + strings.Join(known, ", ")}
	}
}

// checkClasses refuses weights that the limiter would refuse.
func checkClasses(weights map[string]float64) error {
	for _, class := range slices.Sorted(maps.Keys(weights)) {
		switch weight := weights[class]; {
		case class == "":
			return &ConfigError{Field: `Classes[""]`, Value: weight, Rule: "must have the name of a class"}
		case !(weight >= limiter.MinWeight && weight <= limiter.MaxWeight): // NaN fails too
			return &ConfigError{
				Field: fmt.Sprintf("Classes[%q]", class), Value: weight,
				Rule: fmt.Sprintf("must be from %v to %v", limiter.MinWeight, limiter.MaxWeight),
			}
		}
	}
	return nil
}
