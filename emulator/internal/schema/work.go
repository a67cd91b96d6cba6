package schema

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
)

// The bounds of the work for a JSON Schema. Clients write the schemas, and a small schema can
// describe a value of any size.
const (
	maxSchemaBytes  = 256 << 10 // bytes of the schema's JSON
	maxSchemas      = 10_000    // subschemas read, once for each reference
	maxSteps        = 1 << 20   // at least one step for each byte of the value
	perKeyword      = 4         // steps to read or copy a keyword or a property
	maxPatternBytes = 4 << 10
	maxPatternSize  = 5_000 // instructions
)

// work is the remaining budget for one schema.
type work struct {
	ctx     context.Context //nolint:containedctx // A work is used within one call of the model.
	schemas int             // the number of subschemas left to read
	steps   int             // the number of steps left
	err     error           // the reason why the work has stopped, or nil
}

func newWork(ctx context.Context) *work {
	return &work{ctx: ctx, schemas: maxSchemas, steps: maxSteps}
}

// look counts the read of a subschema. It returns false if the budget is used up; the value of
// the subschema is null then.
func (w *work) look(at *place) bool {
	w.schemas--
	return w.spend(at, 1) && w.schemas >= 0
}

// spend counts steps and reports whether the work may continue. It returns false if the budget
// is used up or the context has ended.
func (w *work) spend(at *place, steps int) bool {
	w.steps -= steps
	switch {
	case w.err != nil:
	case w.ctx.Err() != nil:
		w.err = w.ctx.Err()
	case w.steps < 0:
		w.refuse(at, "generating a value takes more than %d steps", maxSteps)
	}
	return w.err == nil
}

// BoundError is the error for a schema that exceeds a bound.
type BoundError struct {
	Place  string // the JSON pointer of the schema in the request
	Reason string // the bound and the value
}

// Error returns the JSON pointer and the reason.
func (e *BoundError) Error() string { return e.Place + ": " + e.Reason }

// refuse stops the work with a [*BoundError].
func (w *work) refuse(at *place, format string, values ...any) {
	if w.err == nil {
		w.err = &BoundError{Place: at.String(), Reason: fmt.Sprintf(format, values...)}
	}
}

// place is the location of a schema: a JSON pointer as a list of its tokens, last first.
type place struct {
	above *place // nil at the root
	token string
}

func (p *place) in(token string) *place { return &place{above: p, token: token} }

// String returns the JSON pointer. It returns only the end of a very long one.
func (p *place) String() string {
	const maxTokens = 20
	var tokens []string
	for ; p != nil && len(tokens) < maxTokens; p = p.above {
		tokens = append(tokens, pointerEscape.Replace(wire.Short(p.token)))
	}
	if p != nil {
		tokens = append(tokens, "…")
	}
	slices.Reverse(tokens)
	return "/" + strings.Join(tokens, "/")
}

var pointerEscape = strings.NewReplacer("~", "~0", "/", "~1")
