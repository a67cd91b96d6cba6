package schema

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// TestWorkStopsWhenContextEnds checks by the number of steps that an ended context stops the
// work early.
func TestWorkStopsWhenContextEnds(t *testing.T) {
	t.Parallel()
	schema := generated.JSONText(`{"type":"array","minItems":1000,"items":{"type":"array","minItems":100,"items":{}}}`)
	ctx, cancel := context.WithCancel(t.Context())
	whole := newWork(ctx)
	if _, err := whole.json(schema, nil, "x"); err != nil {
		t.Fatal(err)
	}
	cancel()
	w := newWork(ctx)
	if _, err := w.json(schema, nil, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	if all, done := maxSteps-whole.steps, maxSteps-w.steps; done*1000 > all {
		t.Errorf("%d of %d steps were taken after the context ended", done, all)
	}
}

func TestBoundErrorsReportPlaceAndBound(t *testing.T) {
	t.Parallel()
	for want, schema := range map[string]string{
		"/tools/0: must have at most 262144 bytes, got 262156":                            `{"const":"` + strings.Repeat("x", maxSchemaBytes) + `"}`,
		"/tools/0/properties/a~1b/pattern: must have at most 4096 bytes, got 4097":        `{"properties":{"a/b":{"pattern":"` + strings.Repeat("x", 4097) + `"}}}`,
		"/tools/0/$defs/p/pattern: must compile to at most 5000 instructions: it repeats": `{"items":{"$ref":"#/$defs/p"},"$defs":{"p":{"type":"string","pattern":"` + strings.Repeat("a{1000}", 6) + `"}}}`,
		"/tools/0/prefixItems/1/items: generating a value takes more than 1048576 steps":  `{"prefixItems":[{},{"minItems":1000,"items":{"const":"` + strings.Repeat("x", 2000) + `"}}]}`,
		"/tools/0/additionalProperties: generating a value takes more than 1048576 steps": `{"minProperties":999,"additionalProperties":{"default":"` + strings.Repeat("x", 2000) + `"}}`,
	} {
		_, err := JSON(t.Context(), generated.JSONText(schema), "x", "tools", "0")
		var refused *BoundError
		if !errors.As(err, &refused) || !strings.HasPrefix(refused.Error(), want) {
			t.Errorf("error is %v, want %s", err, want)
		}
	}
}

// TestBoundsAllowRealSchemas covers large but realistic schemas.
func TestBoundsAllowRealSchemas(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{
		`{"type":"array","minItems":1000,"items":{"type":"object","properties":{"id":{"type":"integer"},"name":{"type":"string","minLength":30}}}}`,
		`{"type":"array","minItems":200,"items":{"type":"string","pattern":"^[A-Z]{3}-[0-9]{4}$"}}`,
		`{"type":"string","pattern":"^\\pL{20}$"}`,
		`{"type":"array","minItems":100,"items":{"enum":["` + strings.Repeat(`value","`, 200) + `"]}}`,
		`{"type":"string","minLength":1e9}`,
	} {
		if _, err := JSON(t.Context(), generated.JSONText(schema), "Tell me about 7 things"); err != nil {
			t.Errorf("%.100s: %v", schema, err)
		}
	}
}
