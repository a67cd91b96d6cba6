package schema

import (
	"errors"
	"fmt"
	"net/url"
	"regexp/syntax"
	"strings"

	"github.com/dlclark/regexp2"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
)

// root is the URL of the schema to compile.
const root = "schema:///"

// compile reports a violation of the metaschema, an invalid pattern or an unresolved
// reference.
func compile(value any, pointer string) error {
	if object, ok := value.(map[string]any); ok {
		delete(object, "$schema") // The draft is always 2020-12.
	}
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(noLoader{})
	compiler.UseRegexpEngine(parsePattern)
	if err := compiler.AddResource(root, value); err != nil {
		return fmt.Errorf("%s: %s", pointer, wire.Short(err.Error()))
	}
	_, err := compiler.Compile(root)
	if broken := (*jsonschema.SchemaValidationError)(nil); errors.As(err, &broken) {
		err = broken.Err // SchemaValidationError has no Unwrap method.
	}
	var (
		invalid    *jsonschema.ValidationError
		badPattern *jsonschema.InvalidRegexError
		noPointer  *jsonschema.JSONPointerNotFoundError
		noAnchor   *jsonschema.AnchorNotFoundError
		elsewhere  *jsonschema.LoadURLError
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &invalid):
		return errors.New(pointer + first(invalid))
	case errors.As(err, &badPattern):
		return fmt.Errorf("%s%s: must be a regular expression, got %q", pointer, within(badPattern.URL), wire.Short(badPattern.Regex))
	case errors.As(err, &noPointer):
		return fmt.Errorf("%s: $ref: must refer to a location in the schema, got %q", pointer, "#"+wire.Short(within(noPointer.URL)))
	case errors.As(err, &noAnchor):
		return fmt.Errorf("%s: $ref: must refer to a location in the schema, got %q", pointer, wire.Short(strings.TrimPrefix(noAnchor.Reference, root)))
	case errors.As(err, &elsewhere):
		return fmt.Errorf("%s: $ref: must refer to a location in the schema, got %q", pointer, wire.Short(strings.TrimPrefix(elsewhere.URL, root)))
	}
	return fmt.Errorf("%s: %s", pointer, wire.Short(err.Error()))
}

// first returns the JSON pointer and the reason of the first violation of the metaschema.
func first(invalid *jsonschema.ValidationError) string {
	for len(invalid.Causes) > 0 {
		invalid = invalid.Causes[0]
	}
	at := strings.Builder{}
	for _, token := range invalid.InstanceLocation {
		at.WriteString("/" + pointerEscape.Replace(wire.Short(token)))
	}
	if format, ok := invalid.ErrorKind.(*kind.Format); ok {
		return fmt.Sprintf("%s: must be a %s, got %s", &at, strings.Replace(format.Want, "regex", "regular expression", 1), wire.Short(fmt.Sprintf("%q", format.Got)))
	}
	return at.String() + ": " + invalid.ErrorKind.LocalizedString(message.NewPrinter(language.English))
}

// within returns the JSON pointer in the fragment of a URL.
func within(address string) string {
	_, fragment, _ := strings.Cut(address, "#")
	if plain, err := url.PathUnescape(fragment); err == nil {
		return plain
	}
	return fragment
}

// noLoader is a loader that fails to load any schema.
type noLoader struct{}

func (noLoader) Load(string) (any, error) { return nil, errors.ErrUnsupported }

// anyText is the placeholder of a compiled pattern. It matches any text, because the compiled
// schema does not validate values.
type anyText string

func (anyText) MatchString(string) bool { return true }
func (p anyText) String() string        { return string(p) }

// parsePattern parses a regular expression. It accepts the dialects of Go and of JavaScript,
// because that of the real API is unknown. It accepts any pattern longer than
// maxPatternBytes.
func parsePattern(source string) (jsonschema.Regexp, error) {
	if len(source) > maxPatternBytes {
		return anyText(source), nil
	}
	_, err := syntax.Parse(source, syntax.Perl)
	if err != nil {
		_, err = regexp2.Compile(source, regexp2.ECMAScript|regexp2.Unicode)
	}
	return anyText(source), err
}
