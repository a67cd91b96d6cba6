package ratelimited

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
)

// A secret holds the API key in closures, so that printing a struct that contains it does not print the key:
// package fmt prints functions as addresses.
type secret struct {
	authorization func() string       // value of the header field
	redact        func([]byte) []byte // returns a copy of a text without the key
}

// newSecret returns the secret of an API key.
func newSecret(key string) secret {
	value := "Bearer " + key
	pattern := regexp.MustCompile(keyPattern(key))
	return secret{
		authorization: func() string { return value },
		redact: func(text []byte) []byte {
			if len(key) < minKeyLength {
				return bytes.Clone(text)
			}
			return pattern.ReplaceAll(text, []byte(redacted))
		},
	}
}

// keyPattern returns a pattern for all forms in which a server may return a key: in lower case, as in the name
// of a media type, and with any characters escaped for JSON, Go strings, URLs or HTML, also repeatedly.
func keyPattern(key string) string {
	var b strings.Builder
	b.WriteString("(?i)")
	for _, c := range []byte(key) {
		fmt.Fprintf(&b, `(?:\\*%s|\\+(?:u00%02[2]x|U000000%02[2]x|x%02[2]x|%03[2]o)|%%(?:25)*%02[2]x|&#0*%[2]d;|&#x0*%[2]x;`, regexp.QuoteMeta(string(c)), c)
		if name := namedEntities[c]; name != "" {
			fmt.Fprintf(&b, "|&%s;", name)
		}
		b.WriteString(")")
	}
	return b.String()
}

var namedEntities = map[byte]string{'&': "amp", '<': "lt", '>': "gt", '"': "quot", '\'': "apos"}

// minKeyLength is the minimum length of a key that is redacted. Shorter keys, such as one for an emulator, occur
// in ordinary words.
const minKeyLength = 8

// redactText returns a text without the key.
func (s secret) redactText(text string) string { return string(s.redact([]byte(text))) }

// redactHeader returns a copy of header fields without the key in their names and values.
func (s secret) redactHeader(given http.Header) http.Header {
	if given == nil {
		return nil
	}
	clean := make(http.Header, len(given))
	for name, values := range given {
		name = s.redactText(name)
		for _, value := range values {
			clean[name] = append(clean[name], s.redactText(value))
		}
	}
	return clean
}

// prefix returns a copy of the beginning of a body without the key, at most maxBytes. It also redacts a key
// that extends beyond maxBytes.
func (s secret) prefix(body []byte, maxBytes int) []byte {
	clean := s.redact(body[:min(len(body), maxBytes+maxEncodedKey)])
	return clean[:min(len(clean), maxBytes)]
}

// maxEncodedKey is a length in bytes that no encoded form of a key exceeds.
const maxEncodedKey = 4096

// redactError returns an error without the key. If the text contains the key, the result has only the redacted
// text: the wrapped errors could reveal the key.
func (s secret) redactError(err error) error {
	text := err.Error()
	if clean := s.redactText(text); clean != text {
		return errors.New(clean)
	}
	return err
}

// redactFailure removes the key from the fields that were decoded from an error response.
func (s secret) redactFailure(e *APIError) {
	e.Header = s.redactHeader(e.Header)
	for _, text := range []*string{&e.Message, &e.Type, &e.Code, &e.Param, &e.RequestID} {
		*text = s.redactText(*text)
	}
	for i := range e.Fields {
		f := &e.Fields[i]
		f.Location, f.Type, f.Message = s.redactText(f.Location), s.redactText(f.Type), s.redactText(f.Message)
	}
}
