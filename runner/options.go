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

// ToolOption changes a tool: [WithTimeout], [Sequential], [NeedsApproval], [Idempotent], or a
// [SchemaOption].
type ToolOption interface{ applyTool(*toolOptions) error }

// FormatOption changes a response format: [Describe], [Repairs], or a [SchemaOption].
type FormatOption interface{ applyFormat(*formatOptions) error }

// SchemaOption changes how the schema of a type is made: [Loose], [AllRequired] or [SchemaOf].
// It is a [ToolOption] and a [FormatOption].
type SchemaOption interface {
	ToolOption
	FormatOption
}

type toolOptions struct {
	schemaOptions
	timeout    time.Duration
	sequential bool
	approval   func(context.Context, json.RawMessage) bool // nil: none is needed
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

// defaultToolTimeout is how long a function may take.
const defaultToolTimeout = 60 * time.Second

// WithTimeout bounds a call of the function, 60 s by default, at least 1 ms. Then its context
// ends and the model is told that it took too long. A function that goes on regardless is left
// behind: its result is dropped.
func WithTimeout(d time.Duration) ToolOption {
	return toolOption(func(o *toolOptions) error {
		if d < time.Millisecond {
			return &ConfigError{Field: "WithTimeout", Value: d, Rule: "must be at least 1ms"}
		}
		o.timeout = d
		return nil
	})
}

// Sequential makes a tool run alone: no other call of the same response runs at the same time.
func Sequential() ToolOption {
	return toolOption(func(o *toolOptions) error {
		o.sequential = true
		return nil
	})
}

// NeedsApproval leaves calls of the tool to [Config.Decide], or to the caller by a
// [*PendingError], before they run: those of which when returns true, all of them if it is nil.
// It is given arguments that fit the schema, in a context that has the [Call]. A panic means
// true. It is called from the run's goroutine, of a call that was not carried out after
// [Runner.Resume] again.
func NeedsApproval(when func(ctx context.Context, arguments json.RawMessage) bool) ToolOption {
	if when == nil {
		when = func(context.Context, json.RawMessage) bool { return true }
	}
	return toolOption(func(o *toolOptions) error {
		o.approval = when
		return nil
	})
}

// Idempotent says that a call may be carried out twice. If its function had begun when a run
// ended, [Runner.Resume] calls it again. Without it, such a call is [PendingInterrupted].
func Idempotent() ToolOption {
	return toolOption(func(o *toolOptions) error {
		o.idempotent = true
		return nil
	})
}

// Describe sets the description of a response format, which the model reads.
func Describe(text string) FormatOption {
	return formatOption(func(o *formatOptions) error {
		o.description = text
		return nil
	})
}

// Repairs bounds how often the model is asked again for an answer that is not what was asked
// for: 0 to 3, 1 by default. Each time is a turn.
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

// Loose gives up the service's strict mode, which a schema with open parts (any, maps) cannot
// have: "strict" is sent as false. A tool whose schema has open parts is loose by itself.
func Loose() SchemaOption {
	return schemaOption(func(o *schemaOptions) error {
		o.loose = true
		return nil
	})
}

// AllRequired makes fields with omitempty or omitzero required, too. They may be null instead,
// which is decoded as the zero value.
func AllRequired() SchemaOption {
	return schemaOption(func(o *schemaOptions) error {
		o.AllRequired = true
		return nil
	})
}

// SchemaOf sets the schema of type T, wherever it occurs: for types that encode themselves and
// recursive ones. The schema is JSON text or a value that is encoded as JSON; a $ref that begins
// with # counts from this schema. A method JSONSchema() any of T does the same for every tool.
func SchemaOf[T any](s generated.JSON) SchemaOption {
	return schemaOption(func(o *schemaOptions) error {
		t := reflect.TypeFor[T]()
		if t.Kind() == reflect.Pointer {
			t = t.Elem() // its place may be null beside that
		}
		text, err := schema.Encode(s)
		if err == nil && text == nil {
			err = errors.New("it is not set")
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
			return o, named(name, err)
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

// named sets the tool of an error.
func named(tool string, err error) error {
	var config *ConfigError
	if errors.As(err, &config) {
		config.Tool = tool
	}
	return err
}

// typeError reports a type without a schema.
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

// schemaOf makes the schema of a type, once in the process unless it has schemas of [SchemaOf].
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
