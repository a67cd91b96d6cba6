package ratelimited

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// shown is a value as an error message gives it: a string in quotes, nil as what
// it means.
func shown(value any) string {
	switch v := value.(type) {
	case nil:
		return "not set"
	case string:
		return strconv.Quote(v)
	default:
		return fmt.Sprint(v)
	}
}

// longestText is how many bytes of a text from outside an error message shows.
const longestText = 300

// oneLine makes what came from outside fit for a line of a log: without breaks
// or other control characters, and not too long.
func oneLine(s string) string {
	cut := len(s) > 4*longestText
	s = strings.ToValidUTF8(s[:min(len(s), 4*longestText)], "\uFFFD")
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > longestText {
		end := longestText
		for !utf8.RuneStart(s[end]) {
			end--
		}
		s, cut = s[:end], true
	}
	if cut {
		s += "…"
	}
	return s
}

// beginning is as much of a body as fits an error message.
func beginning(body []byte) string { return oneLine(string(body[:min(len(body), 5*longestText)])) }

// textOf returns the text of an error, also of none: a program may make an error of this
// package itself, such as for a test.
func textOf(err error) string {
	if err == nil {
		return "of unknown cause"
	}
	return err.Error()
}
