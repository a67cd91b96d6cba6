package wire

import (
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Words yields the words of a text, each with the preceding white space. White space at the
// end is a separate word. The concatenation of the words is the text. Words returns an
// iterator, because a list would use memory for each stream that waits for its client.
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

// wordTokens returns the tokens of a word: one for each 3.5 characters, rounded up. White
// space alone is one token.
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

// CutTokens truncates a text to limit tokens.
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

// Truncate returns the first limit bytes of a text as valid UTF-8. A truncated text does not
// share memory with the original.
func Truncate(text string, limit int) string {
	if len(text) > limit {
		text = strings.Clone(text[:limit])
	}
	return strings.ToValidUTF8(text, "")
}

// Short truncates a client's text for an error message.
func Short(text string) string {
	const limit = 100
	if len(text) > limit {
		return Truncate(text, limit) + "…"
	}
	return text
}

// Excerpt trims white space around a text and truncates it to 200 characters.
func Excerpt(text string) string {
	const limit = 200
	runes := []rune(strings.TrimSpace(text))
	if len(runes) > limit {
		return string(runes[:limit]) + "…"
	}
	return string(runes)
}
