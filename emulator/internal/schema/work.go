package schema

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
)

// The bounds of what a JSON Schema can make the model do. Schemas are the client's to
// write, and a small one can ask for a value of any size.
const (
	maxSchemaBytes  = 256 << 10 // of its JSON
	maxSchemas      = 10_000    // looked at, one as often as it is referred to
	maxSteps        = 1 << 20   // one for each byte of the value, at least
	perKeyword      = 4         // steps to look at a keyword or a property, or to copy it
	maxPatternBytes = 4 << 10
	maxPatternSize  = 5_000 // instructions
)

// work is what is left to spend on one schema.
type work struct {
	ctx     context.Context //nolint:containedctx // It lives as long as one call of the model.
	schemas int
	steps   int
	err     error // why the work has stopped; nil while it goes on
}

func newWork(ctx context.Context) *work {
	return &work{ctx: ctx, schemas: maxSchemas, steps: maxSteps}
}

// look takes one of the schemas that may be looked at. At the end of these, a schema
// that refers to itself gets null where it would go on.
func (w *work) look(at *place) bool {
	w.schemas--
	return w.spend(at, 1) && w.schemas >= 0
}

// spend takes steps, and reports whether the work may go on. It may not when the client
// has gone either.
func (w *work) spend(at *place, steps int) bool {
	w.steps -= steps
	switch {
	case w.err != nil:
	case w.ctx.Err() != nil:
		w.err = w.ctx.Err()
	case w.steps < 0:
		w.refuse(at, "making up a value takes more than %d steps", maxSteps)
	}
	return w.err == nil
}

// BoundError reports a schema that asks for more than a response may have.
type BoundError struct {
	Place  string // a JSON pointer into the request
	Reason string // which names the bound
}

// Error returns the place and the reason.
func (e *BoundError) Error() string { return e.Place + ": " + e.Reason }

// refuse stops the work.
func (w *work) refuse(at *place, format string, values ...any) {
	if w.err == nil {
		w.err = &BoundError{Place: at.String(), Reason: fmt.Sprintf(format, values...)}
	}
}

// place is where a schema is, as a JSON pointer read from its end.
type place struct {
	above *place // nil at the root
	token string
}

func (p *place) in(token string) *place { return &place{above: p, token: token} }

// String returns the JSON pointer; of one that is very long, the end.
func (p *place) String() string {
	const most = 20
	var tokens []string
	for ; p != nil && len(tokens) < most; p = p.above {
		tokens = append(tokens, pointerEscape.Replace(wire.Short(p.token)))
	}
	if p != nil {
		tokens = append(tokens, "…")
	}
	slices.Reverse(tokens)
	return "/" + strings.Join(tokens, "/")
}

var pointerEscape = strings.NewReplacer("~", "~0", "/", "~1")
