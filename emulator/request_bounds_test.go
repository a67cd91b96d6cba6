package emulator_test

import (
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
)

// repeat formats the numbers below n and joins the results with commas.
func repeat(n int, format string) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// expensiveSchemas returns schemas whose evaluation could use too much time or memory.
func expensiveSchemas() map[string]string {
	doubling := `{"$ref":"#/$defs/a0","$defs":{` + repeat(40, `"a%[1]d":{"type":"object","required":["x","y"],"properties":{"x":{"$ref":"#/$defs/b%[1]d"},"y":{"$ref":"#/$defs/b%[1]d"}}}`)
	for i := range 40 {
		doubling += fmt.Sprintf(`,"b%d":{"$ref":"#/$defs/a%d"}`, i, i+1)
	}
	doubling += `}}`
	tuples := `{"$ref":"#/$defs/a0","$defs":{` + repeat(30, `"a%[1]d":{"type":"array","prefixItems":[{"$ref":"#/$defs/b%[1]d"},{"$ref":"#/$defs/b%[1]d"}]}`)
	for i := range 30 {
		tuples += fmt.Sprintf(`,"b%d":{"$ref":"#/$defs/a%d"}`, i, i+1)
	}
	tuples += `}}`
	deep := func(open, end string, n int) string { return strings.Repeat(open, n) + `{}` + strings.Repeat(end, n) }
	text := strings.Repeat("x", 200_000)
	return map[string]string{
		"nested repeats":         `{"type":"string","pattern":"^((((a{1000})+)+)+)+$"}`,
		"nested repeats, long":   `{"type":"string","minLength":60000,"pattern":"^((((a{1000})+)+)+)+$"}`,
		"sequence of repeats":    `{"type":"string","pattern":"` + strings.Repeat("a{1000}", 140) + `"}`,
		"optional repeats":       `{"type":"string","minLength":30000,"pattern":"(x?){1000}(a?){1000}(a?){1000}b$"}`,
		"long pattern":           `{"type":"string","pattern":"` + strings.Repeat("a", 900_000) + `"}`,
		"classes":                `{"type":"string","pattern":"` + strings.Repeat(`\\pL`, 1000) + `+"}`,
		"repeated classes":       `{"type":"string","pattern":"` + strings.Repeat(`[^\\pL]{1000}`, 4) + `"}`,
		"captures":               `{"type":"string","pattern":"` + strings.Repeat(`(`, 900) + `a` + strings.Repeat(`)*`, 900) + `"}`,
		"stars":                  `{"type":"string","pattern":"` + strings.Repeat(`.*`, 2000) + `y$","minLength":65536}`,
		"many patterns":          `{"type":"object","properties":{` + repeat(1500, `"p%d":{"type":"string","pattern":"^(a|b|[cd]{200}){1,4}(\\pL)+x$"}`) + `}}`,
		"patterns of many items": `{"type":"array","minItems":1000,"items":{"type":"string","pattern":"^[ab]{0,900}y$","minLength":800}}`,
		"pattern of names":       `{"type":"object","patternProperties":{"^((((a{1000})+)+)+)+$":{}},"propertyNames":{"pattern":"^((((a{1000})+)+)+)+$"},"minProperties":100000}`,
		"allOf of required":      `{"allOf":[` + repeat(5000, `{"required":["a%d","b"]}`) + `]}`,
		"allOf of properties":    `{"allOf":[` + repeat(4000, `{"properties":{"a%d":{"type":"null"}}}`) + `]}`,
		"allOf of one property":  `{"allOf":[` + repeat(4000, `{"properties":{"a":{"minLength":%d}}}`) + `]}`,
		"allOf of keywords":      `{"allOf":[` + repeat(6000, `{"k%[1]d":%[1]d,"l%[1]d":0}`) + `]}`,
		"allOf of allOf":         deep(`{"allOf":[`, `]}`, 3000),
		"allOf of enums":         `{"allOf":[{"enum":[` + repeat(10_000, `%d`) + `]},{"enum":[` + repeat(10_000, `%d`) + `]}]}`,
		"allOf of itself":        `{"allOf":[` + repeat(3000, `{"$ref":"#","x%d":0}`) + `]}`,
		"references":             `{"$ref":"#/` + strings.Repeat("a/", 100_000) + `"}`,
		"anyOf":                  `{"type":"array","minItems":1000,"items":{"anyOf":[` + repeat(20_000, `{"a%d":0}`) + `]}}`,
		"doubling":               doubling,
		"doubling tuples":        tuples,
		"deep":                   deep(`{"properties":{"a":`, `},"required":["a"]}`, 3000),
		"deep items":             deep(`{"items":`, `,"minItems":1000}`, 9),
		"items":                  `{"type":"array","minItems":1e9,"items":{"type":"array","minItems":1e9,"items":{"type":"array","minItems":1e9,"items":{}}}}`,
		"unique items":           `{"type":"array","minItems":1000,"uniqueItems":true,"items":{"type":"array","minItems":1000,"uniqueItems":true,"items":{"const":1}}}`,
		"length":                 `{"type":"array","minItems":1e9,"items":{"type":"string","minLength":1e9}}`,
		"properties":             `{"type":"object","minProperties":1e9,"additionalProperties":{"type":"object","minProperties":1e9}}`,
		"long constant":          `{"type":"array","minItems":1000,"items":{"const":"` + text + `"}}`,
		"long default":           `{"type":"object","minProperties":1000,"additionalProperties":{"default":["` + text + `"]}}`,
		"long enum value":        `{"type":"array","minItems":1000,"items":{"enum":["` + text + `"]}}`,
		"large enum":             `{"type":"array","minItems":1000,"items":{"enum":[` + repeat(40_000, `"%d"`) + `]}}`,
		"long name":              `{"type":"array","minItems":1000,"items":{"type":"object","properties":{"` + text + `":{}}}}`,
		"many required":          `{"type":"object","required":[` + repeat(30_000, `"%d"`) + `]}`,
		"many types":             `{"type":"array","minItems":1000,"items":{"type":[` + repeat(60_000, `%d`) + `]}}`,
		"large":                  `{"type":"object","properties":{` + repeat(20_000, `"property%d":{"type":"string","minLength":9}`) + `}}`,
		"large and repeated":     `{"type":"array","minItems":1000,"items":{"type":"object","properties":{` + repeat(5_000, `"p%d":{}`) + `}}}`,
		"larger than the bound":  `{"type":"array","minItems":1000,"items":{"const":[` + repeat(9_000, `"a long text %08d, and more of it"`) + `]}}`,
	}
}

// TestManyInvalidValues sends the maximum number of invalid values and more. The response
// reports some of them, and the request allocates less than the bound.
func TestManyInvalidValues(t *testing.T) { //nolint:paralleltest // It measures the allocations of the process.
	const bound = 1 << 30
	e := emulator.New(emulator.Config{OnViolation: func(err error) { t.Error(err) }})
	for _, test := range []struct {
		count  int
		input  string
		status int
	}{
		{65_000, `1`, http.StatusUnprocessableEntity},
		{21_000, `{"type":"x"}`, http.StatusUnprocessableEntity},
		{70_000, `1`, http.StatusRequestEntityTooLarge},
		{4_000_000, `1`, http.StatusRequestEntityTooLarge},
	} {
		body := `{"model":"m","inputs":[` + strings.Repeat(test.input+",", test.count-1) + test.input + `]}`
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		w := direct(t.Context(), e, http.MethodPost, "/v1/conversations", body)
		runtime.ReadMemStats(&after)
		if allocated := after.TotalAlloc - before.TotalAlloc; w.Code != test.status || allocated > bound || w.Body.Len() > 1<<20 {
			t.Errorf("%d of %s: status %d, %d bytes, %d MiB allocated: %.200s", test.count, test.input, w.Code, w.Body.Len(), allocated>>20, w.Body)
		}
	}
}

// TestExpensiveSchemas sends each schema as a response format and as the parameters of a
// function. The response must match the document, or be an error with the JSON pointer of
// the schema. The request must not allocate more than the bound.
func TestExpensiveSchemas(t *testing.T) { //nolint:paralleltest // It measures the allocations of the process.
	const bound = 256 << 20
	e := emulator.New(emulator.Config{OnViolation: func(err error) { t.Error(err) }})
	for name, schema := range expensiveSchemas() {
		for where, body := range map[string]string{
			"format":   `{"model":"m","inputs":"Say 7","completion_args":{"response_format":{"type":"json_schema","json_schema":{"name":"s","schema":` + schema + `}}}}`,
			"function": `{"model":"m","inputs":"weather","tools":[{"type":"function","function":{"name":"weather","parameters":` + schema + `}}]}`,
		} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			w := direct(t.Context(), e, http.MethodPost, "/v1/conversations", body)
			took := time.Since(began)
			runtime.ReadMemStats(&after)
			allocated := after.TotalAlloc - before.TotalAlloc
			if os.Getenv("LOG_EXPENSIVE_SCHEMAS") != "" {
				t.Logf("%-24s %-8s %4d  %6.1f MB  %6d ms %.170s", name, where, w.Code, float64(allocated)/(1<<20), took.Milliseconds(), w.Body.String())
			}
			if allocated > bound {
				t.Errorf("%s, %s: %d MiB were allocated, want at most %d", name, where, allocated>>20, bound>>20)
			}
			if w.Code == http.StatusOK {
				continue
			}
			if pointer := map[string]string{"format": "/completion_args/response_format/json_schema/schema", "function": "/tools/0/function/parameters"}[where]; w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), pointer) {
				t.Errorf("%s, %s: %d %.300s", name, where, w.Code, w.Body)
			}
		}
	}
}
