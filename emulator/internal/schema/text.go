package schema

import (
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
)

// formats maps each format of JSON Schema to a value.
var formats = map[string]string{
	"date-time": "2026-01-02T03:04:05Z", "date": "2026-01-02", "time": "03:04:05Z", "duration": "P1D",
	"email": "someone@example.com", "idn-email": "someone@example.com",
	"hostname": "example.com", "idn-hostname": "example.com", "ipv4": "192.0.2.1", "ipv6": "2001:db8::1",
	"uri": "https://example.com/", "uri-reference": "/page", "iri": "https://example.com/", "iri-reference": "/page",
	"uri-template": "https://example.com/{id}", "uuid": "00000000-0000-4000-8000-000000000000",
	"json-pointer": "/one", "relative-json-pointer": "0", "regex": "^one$",
}

const (
	maxText   = 1 << 16 // maximum length of a generated string, in characters
	perSchema = 100     // number of required characters that cost as much as one schema
)

// string generates a string.
func (v generator) string(schema *object, name string, at *place) string {
	if format, ok := schema.get("format").(string); ok && formats[format] != "" {
		return formats[format]
	}
	minLen := int(min(numberOf(schema, "minLength", 0), maxText))
	maxLen := int(min(numberOf(schema, "maxLength", maxText), maxText))
	v.schemas -= minLen / perSchema
	if !v.spend(at, max(0, minLen)) {
		return ""
	}
	text := v.hints.about(name)
	if v.variant > 0 {
		text = strconv.Itoa(v.variant+1) + " " + text
	}
	if source, ok := schema.get("pattern").(string); ok {
		if matching, ok := v.matching(source, minLen, maxLen, text, at.in("pattern")); ok {
			return matching
		}
	}
	text = resized(text, minLen, maxLen)
	v.spend(at, len(text))
	return text
}

// resized truncates or repeats a text so that its length is from minLen to maxLen.
func resized(text string, minLen, maxLen int) string {
	if n := utf8.RuneCountInString(text); n < minLen {
		if text == "" {
			text, n = "x", 1
		}
		text = strings.Repeat(text, minLen/n+1)
		maxLen = min(maxLen, minLen)
	}
	if runes := []rune(text); len(runes) > maxLen {
		return string(runes[:max(0, maxLen)])
	}
	return text
}

// visible returns a rune of a class, preferably a letter or digit. The class consists of
// pairs: the first and the last rune of each range.
func visible(class []rune) rune {
	best := 'x'
	for i := len(class) - 2; i >= 0; i -= 2 {
		if class[i] >= '!' || i == 0 && best == 'x' {
			best = class[i]
		}
	}
	for _, want := range "-_A0a" {
		for i := 0; i+1 < len(class); i += 2 {
			if class[i] <= want && want <= class[i+1] {
				best = want
			}
		}
	}
	return best
}

var (
	numberPattern = regexp.MustCompile(`-?[0-9]+(?:\.[0-9]+)?`)
	quotedPattern = regexp.MustCompile(`["“']([^"”']+)["”']`)
	properPattern = regexp.MustCompile(`[^.!?\s]\s+(\p{Lu}[\p{L}'-]*(?:\s+\p{Lu}[\p{L}'-]*)*)`)
)

// hints is the parts of a prompt that generated values use.
type hints struct {
	lower          string // the prompt in lower case
	words          []string
	numbers        []float64
	quoted, proper string // the first quotation and the first proper name, or ""
	excerpt        string
}

// newHints returns the hints of a prompt. It reads only the start of a long prompt.
func newHints(text string) *hints {
	const maxBytes, maxWords = 4 << 10, 100
	if len(text) > maxBytes {
		text = strings.ToValidUTF8(text[:maxBytes], "")
	}
	h := &hints{lower: strings.ToLower(text), excerpt: wire.Excerpt(text)}
	h.words = strings.Fields(text)
	h.words = h.words[:min(len(h.words), maxWords)]
	for _, found := range numberPattern.FindAllString(text, maxWords) {
		if x, err := strconv.ParseFloat(found, 64); err == nil {
			h.numbers = append(h.numbers, x)
		}
	}
	if m := quotedPattern.FindStringSubmatch(text); m != nil {
		h.quoted = m[1]
	}
	if m := properPattern.FindStringSubmatch(text); m != nil {
		h.proper = m[1]
	}
	return h
}

// about returns a string for a property of a name: the first quotation, a proper name within a
// sentence ("Paris"), or the start of the prompt.
func (h *hints) about(name string) string {
	switch {
	case h.quoted != "":
		return h.quoted
	case h.proper != "" && !strings.Contains(strings.ToLower(name), "query"):
		return h.proper
	default:
		return h.excerpt
	}
}
