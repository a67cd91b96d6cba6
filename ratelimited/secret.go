package ratelimited

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
)

// A secret is the account's key where printing what holds it does not show it:
// functions are printed as addresses.
type secret struct {
	authorization func() string       // value of the header field
	redact        func([]byte) []byte // removes the key from what came from outside
}

// newSecret keeps a key.
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

// patternOf returns a pattern of what a server may send back of a key: in lower case, as the
// name of a media type is, and with any of its characters escaped, as in JSON, in Go strings,
// in URLs and in HTML, also several times.
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

// shortestSecret is the length from which a key is one. Shorter ones, as for an
// emulator, are part of ordinary words.
const minKeyLength = 8

// text is a text without the key.
func (s secret) redactText(text string) string { return string(s.redact([]byte(text))) }

// header is header fields without the key, also in their names. The result shares nothing with those given.
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

// head is the beginning of a body, at most so many bytes, without the key, also
// where the cut would go through it. The result shares nothing with the body.
func (s secret) prefix(body []byte, most int) []byte {
	clean := s.redact(body[:min(len(body), most+maxEncodedKey)])
	return clean[:min(len(clean), most)]
}

// longestKey is more than any form of a key has bytes.
const maxEncodedKey = 4096

// cause is an error without the key. One that has it is replaced by its text: what
// it wraps may show the key to whoever prints it.
func (s secret) redactError(err error) error {
	text := err.Error()
	if clean := s.redactText(text); clean != text {
		return errors.New(clean)
	}
	return err
}

// clean removes the key from what was read of a failure's body, where it may have
// been escaped in other ways than newSecret knows.
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
