package emulator

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// formats has a value of each format that JSON Schema names.
var formats = map[string]string{
	"date-time": "2026-01-02T03:04:05Z", "date": "2026-01-02", "time": "03:04:05Z", "duration": "P1D",
	"email": "someone@example.com", "idn-email": "someone@example.com",
	"hostname": "example.com", "idn-hostname": "example.com", "ipv4": "192.0.2.1", "ipv6": "2001:db8::1",
	"uri": "https://example.com/", "uri-reference": "/page", "iri": "https://example.com/", "iri-reference": "/page",
	"uri-template": "https://example.com/{id}", "uuid": "00000000-0000-4000-8000-000000000000",
	"json-pointer": "/one", "relative-json-pointer": "0", "regex": "^one$",
}

// mostText is the most characters that are made up, perSchema how many of those that
// must be cost as much as one more schema.
const (
	mostText  = 1 << 16
	perSchema = 100
)

// string makes up a text.
func (v inventor) string(schema map[string]any, name string) string {
	if format, ok := schema["format"].(string); ok && formats[format] != "" {
		return formats[format]
	}
	least := int(min(numberOf(schema, "minLength", 0), mostText))
	most := int(min(numberOf(schema, "maxLength", mostText), mostText))
	*v.left -= least / perSchema
	text := inventText(v.text, name)
	if v.variant > 0 {
		text = strconv.Itoa(v.variant+1) + " " + text
	}
	if source, ok := schema["pattern"].(string); ok {
		if fitting, ok := v.matching(source, least, most, text); ok {
			return fitting
		}
	}
	return fitted(text, least, most)
}

// fitted cuts a text, or repeats it, to a length.
func fitted(text string, least, most int) string {
	if n := utf8.RuneCountInString(text); n < least {
		if text == "" {
			text, n = "x", 1
		}
		text = strings.Repeat(text, least/n+1)
		most = min(most, least)
	}
	if runes := []rune(text); len(runes) > most {
		return string(runes[:max(0, most)])
	}
	return text
}

// matching returns a text that matches a pattern: of the prompt, or made for it.
func (v inventor) matching(source string, least, most int, text string) (string, bool) {
	rule, err := regexp.Compile(source)
	if err != nil {
		return "", false
	}
	fits := func(text string) bool {
		n := utf8.RuneCountInString(text)
		return least <= n && n <= most && rule.MatchString(text)
	}
	candidates := append([]string{fitted(text, least, most)}, strings.Fields(v.text)...)
	if parsed, err := syntax.Parse(source, syntax.Perl); err == nil {
		for repeats := range mostRepeats {
			made := sample(parsed.Simplify(), repeats)
			candidates = append(candidates, made, fitted(made, least, most))
		}
	}
	var fitting []string
	for _, candidate := range candidates {
		if fits(candidate) && !slices.Contains(fitting, candidate) {
			fitting = append(fitting, candidate)
			if len(fitting) > v.variant {
				break
			}
		}
	}
	if fitting == nil {
		return "", false
	}
	return fitting[min(v.variant, len(fitting)-1)], true
}

// mostRepeats is how often, at most, a text for a pattern has what may be repeated.
const mostRepeats = 40

// sampler writes a text that a regular expression matches.
type sampler struct {
	text    strings.Builder
	repeats int // of what may be repeated
	left    int // expressions to write, within an expression of the client's making
}

const mostSampled = 1 << 14

func sample(re *syntax.Regexp, repeats int) string {
	s := sampler{repeats: repeats, left: mostSampled}
	s.write(re)
	return s.text.String()
}

func (s *sampler) write(re *syntax.Regexp) {
	times := 0
	switch re.Op {
	case syntax.OpLiteral:
		s.text.WriteString(string(re.Rune))
	case syntax.OpCharClass:
		s.text.WriteRune(visible(re.Rune))
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		s.text.WriteByte('x')
	case syntax.OpCapture, syntax.OpConcat:
		for _, part := range re.Sub {
			s.write(part)
		}
	case syntax.OpAlternate:
		times = 1
	case syntax.OpPlus:
		times = max(1, s.repeats)
	case syntax.OpStar:
		times = s.repeats
	case syntax.OpQuest:
		times = min(1, s.repeats)
	default: // All others match where nothing is. Repeats are gone, by Simplify.
	}
	for ; times > 0 && s.left > 0; times-- {
		s.left--
		s.write(re.Sub[0])
	}
}

// visible returns a rune of a class, which is pairs of the first and last of ranges: a
// letter or digit if it has one.
func visible(class []rune) rune {
	for _, want := range "a0A_-" {
		for i := 0; i+1 < len(class); i += 2 {
			if class[i] <= want && want <= class[i+1] {
				return want
			}
		}
	}
	for i := 0; i+1 < len(class); i += 2 {
		if class[i] >= '!' {
			return class[i]
		}
	}
	if len(class) > 0 {
		return class[0]
	}
	return 'x'
}

var (
	quotedRule = regexp.MustCompile(`["“']([^"”']+)["”']`)
	properRule = regexp.MustCompile(`[^.!?\s]\s+(\p{Lu}[\p{L}'-]*(?:\s+\p{Lu}[\p{L}'-]*)*)`)
)

// inventText takes what is quoted, else a name within a sentence ("Paris"), else the
// whole text.
func inventText(text, name string) string {
	if m := quotedRule.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	if m := properRule.FindStringSubmatch(text); m != nil && !strings.Contains(strings.ToLower(name), "query") {
		return m[1]
	}
	return excerpt(text)
}
