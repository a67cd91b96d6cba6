package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"sync"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner/internal/schema"
)

// ToolOption configures a tool: [WithTimeout], [Sequential], [NeedsApproval], [Idempotent], or a
// [SchemaOption].
type ToolOption interface{ applyTool(*toolOptions) error }

// FormatOption configures a response format: [Describe], [Repairs], or a [SchemaOption].
type FormatOption interface{ applyFormat(*formatOptions) error }

// SchemaOption configures the schema of a type: [Loose], [AllRequired] or [SchemaOf]. It is both a
// [ToolOption] and a [FormatOption].
type SchemaOption interface {
	ToolOption
	FormatOption
}

type toolOptions struct {
	schemaOptions
	timeout    time.Duration
	sequential bool
	approval   func(context.Context, json.RawMessage) bool // nil if calls need no approval
	idempotent bool
}

type formatOptions struct {
	schemaOptions
	description string
	repairs     int
}

type schemaOptions struct {
	schema.Options
	loose bool
}

type toolOption func(*toolOptions) error

func (f toolOption) applyTool(o *toolOptions) error { return f(o) }

type formatOption func(*formatOptions) error

func (f formatOption) applyFormat(o *formatOptions) error { return f(o) }

type schemaOption func(*schemaOptions) error

func (f schemaOption) applyTool(o *toolOptions) error     { return f(&o.schemaOptions) }
func (f schemaOption) applyFormat(o *formatOptions) error { return f(&o.schemaOptions) }

// defaultToolTimeout bounds a call of a function without [WithTimeout].
const defaultToolTimeout = 60 * time.Second

// WithTimeout limits the duration of a function call. The default is 60 s, the minimum 1 ms. After
// the timeout, the context of the function ends and the model receives an error text. If the
// function keeps running, the run does not wait for it and ignores its result.
func WithTimeout(d time.Duration) ToolOption {
	return toolOption(func(o *toolOptions) error {
		if d < time.Millisecond {
			return &ConfigError{Field: "WithTimeout", Value: d, Rule: "must be at least 1ms"}
		}
		o.timeout = d
		return nil
	})
}

// Sequential makes a tool run alone: no other call of the same response runs concurrently.
func Sequential() ToolOption {
	return toolOption(func(o *toolOptions) error {
		o.sequential = true
		return nil
	})
}

// NeedsApproval makes calls of the tool wait for approval by [Config.Decide], or by the caller
// after a [*PendingError]. A call needs approval if when is nil or returns true.
//
// The function when receives arguments that match the schema, and a context that holds the [Call].
// A panic counts as true. The run's goroutine calls it, and calls it again after [Runner.Resume] if
// the call was not executed before.
func NeedsApproval(when func(ctx context.Context, arguments json.RawMessage) bool) ToolOption {
	if when == nil {
		when = func(context.Context, json.RawMessage) bool { return true }
	}
	return toolOption(func(o *toolOptions) error {
		o.approval = when
		return nil
	})
}

// Idempotent declares that a call may be executed twice. If a run ended while the function was
// running, [Runner.Resume] calls it again. Without this option, such a call is
// [PendingInterrupted].
func Idempotent() ToolOption {
	return toolOption(func(o *toolOptions) error {
		o.idempotent = true
		return nil
	})
}

// Describe sets the description of a response format, which is sent to the model.
func Describe(text string) FormatOption {
	return formatOption(func(o *formatOptions) error {
		o.description = text
		return nil
	})
}

// Repairs limits how often the model is asked to correct an answer that does not match the format:
// 0 to 3 times, 1 by default. Each repair is a turn.
func Repairs(n int) FormatOption {
	return formatOption(func(o *formatOptions) error {
		if n < 0 || n > maxRepairs {
			return &ConfigError{Field: "Repairs", Value: n, Rule: fmt.Sprintf("must be 0 to %d", maxRepairs)}
		}
		o.repairs = n
		return nil
	})
}

const maxRepairs, defaultRepairs = 3, 1

// Loose disables the service's strict mode, which does not support schemas with open parts (any,
// maps): "strict" is sent as false. A tool whose schema has open parts is always loose.
func Loose() SchemaOption {
	return schemaOption(func(o *schemaOptions) error {
		o.loose = true
		return nil
	})
}

// AllRequired makes fields with omitempty or omitzero required, too. These fields may be null
// instead; null is decoded as the zero value.
func AllRequired() SchemaOption {
	return schemaOption(func(o *schemaOptions) error {
		o.AllRequired = true
		return nil
	})
}

// SchemaOf sets the schema of type T wherever T occurs. It is meant for recursive types and for
// types that encode themselves. The schema is JSON text or a value to be encoded as JSON. A $ref
// that begins with # is relative to this schema. A method JSONSchema() any of T has the same effect
// in every tool.
func SchemaOf[T any](s generated.JSON) SchemaOption {
	return schemaOption(func(o *schemaOptions) error {
		t := reflect.TypeFor[T]()
		if t.Kind() == reflect.Pointer {
			t = t.Elem() // a pointer may also be null
		}
		text, err := schema.Encode(s)
		if err == nil && text == nil {
			err = errors.New("it is nil")
		}
		if err != nil {
			return &ConfigError{Field: fmt.Sprintf("SchemaOf[%v]", t), Rule: "must be a JSON Schema: " + err.Error(), Err: err}
		}
		if o.Types == nil {
			o.Types = map[reflect.Type]json.RawMessage{}
		}
		o.Types = maps.Clone(o.Types)
		o.Types[t] = text
		return nil
	})
}

func toolOptionsOf(name string, options []ToolOption) (toolOptions, error) {
	o := toolOptions{timeout: defaultToolTimeout}
	for i, option := range options {
		if option == nil {
			return o, &ConfigError{Tool: name, Field: fmt.Sprintf("options[%d]", i), Rule: "must be a ToolOption, got nil"}
		}
		if err := option.applyTool(&o); err != nil {
			return o, withTool(name, err)
		}
	}
	return o, nil
}

func formatOptionsOf(options []FormatOption) (formatOptions, error) {
	o := formatOptions{repairs: defaultRepairs}
	for i, option := range options {
		if option == nil {
			return o, &ConfigError{Field: fmt.Sprintf("options[%d]", i), Rule: "must be a FormatOption, got nil"}
		}
		if err := option.applyFormat(&o); err != nil {
			return o, err
		}
	}
	return o, nil
}

// withTool sets the tool of a ConfigError.
func withTool(tool string, err error) error {
	var config *ConfigError
	if errors.As(err, &config) {
		config.Tool = tool
	}
	return err
}

// typeError returns the error of a type that has no schema.
func typeError(tool string, err error) error {
	failure := &ConfigError{Tool: tool, Field: "In", Rule: err.Error(), Err: err}
	var of *schema.TypeError
	if errors.As(err, &of) {
		failure.Field, failure.Rule = of.Path, of.Rule
	}
	return failure
}

type schemaKey struct {
	reflect.Type
	root              string
	wrap, allRequired bool
}

var schemas sync.Map // of func() (*schema.Type, error), by schemaKey

// schemaOf returns the schema of a type. Schemas are cached for the life of the process, except
// with [SchemaOf].
func schemaOf(t reflect.Type, root string, o schemaOptions) (*schema.Type, error) {
	if o.Types != nil {
		return schema.Of(t, root, o.Options)
	}
	key := schemaKey{t, root, o.Wrap, o.AllRequired}
	made, ok := schemas.Load(key)
	if !ok {
		made, _ = schemas.LoadOrStore(key, sync.OnceValues(func() (*schema.Type, error) { return schema.Of(t, root, o.Options) }))
	}
	return made.(func() (*schema.Type, error))()
}
