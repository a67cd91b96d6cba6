package wire

import (
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Words splits a text into words, each with the white space before it; white space at the
// end is a word. The words together are the text. They are an iterator and not a list,
// because a stream that waits for its client waits between two of them.
func Words(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		start, inWord := 0, false
		for i, r := range text {
			space := unicode.IsSpace(r)
			if space && inWord {
				if !yield(text[start:i]) {
					return
				}
				start = i
			}
			inWord = !space
		}
		if start < len(text) {
			yield(text[start:])
		}
	}
}

// CountWords returns the number of words.
func CountWords(text string) int {
	n := 0
	for range Words(text) {
		n++
	}
	return n
}

// wordTokens returns the tokens of a word: one for each 3.5 characters, rounded up, and
// one for white space alone.
func wordTokens(word string) int {
	n := utf8.RuneCountInString(strings.TrimLeftFunc(word, unicode.IsSpace))
	return max(1, (2*n+6)/7)
}

// CountTokens returns the tokens of a text.
func CountTokens(text string) int {
	n := 0
	for word := range Words(text) {
		n += wordTokens(word)
	}
	return n
}

// CutTokens returns the start of a text that has at most limit tokens.
func CutTokens(text string, limit int) string {
	end := 0
	for word := range Words(text) {
		n := wordTokens(word)
		if n > limit {
			return text[:end] + cutWord(word, limit)
		}
		limit -= n
		end += len(word)
	}
	return text
}

func cutWord(word string, limit int) string {
	if limit <= 0 {
		return ""
	}
	runes := limit * 7 / 2
	for i, r := range word {
		if unicode.IsSpace(r) {
			continue
		}
		if runes == 0 {
			return word[:i]
		}
		runes--
	}
	return word
}

// Truncate returns the first bytes of a text as valid UTF-8, in memory of its own.
func Truncate(text string, limit int) string {
	if len(text) > limit {
		text = strings.Clone(text[:limit])
	}
	return strings.ToValidUTF8(text, "")
}

// Short returns the start of a text that a client sent, for an error message.
func Short(text string) string {
	const limit = 100
	if len(text) > limit {
		return Truncate(text, limit) + "…"
	}
	return text
}

// Excerpt returns the start of a text without the white space around it.
func Excerpt(text string) string {
	const limit = 200
	runes := []rune(strings.TrimSpace(text))
	if len(runes) > limit {
		return string(runes[:limit]) + "…"
	}
	return string(runes)
}
