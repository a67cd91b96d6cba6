package tokens

import (
	"unicode"
	"unicode/utf8"
)

// segmentBytes is the maximum length of a text that the encoder counts at once. The encoder takes quadratic time for
// one piece, and a text without a boundary is one piece. Ordinary text in any script has many boundaries in
// this length.
const segmentBytes = 512

// segmentEnd returns the length of the first segment of s, at most limit, which must be 4 or more. The segment ends
// at the last boundary. Without a boundary it ends at limit, or up to three bytes before, so that it does
// not split a rune.
func segmentEnd(s string, limit int) int {
	if len(s) <= limit {
		return len(s)
	}
	for i := limit; i > 0; i-- {
		if isBoundary(s, i) {
			return i
		}
	}
	for i := limit; i > limit-utf8.UTFMax; i-- {
		if utf8.RuneStart(s[i]) {
			return i
		}
	}
	return limit // not UTF-8, so this does not split a rune
}

// isBoundary reports whether every encoding ends a piece at s[i], so that the counts of s[:i] and s[i:] add up to the
// count of s. It may miss boundaries, but a reported boundary is always correct. With a and b the runes
// before and after i, these are boundaries in all patterns:
//
//   - a is a letter and b is not: only letters, marks and an apostrophe can follow a letter in its piece;
//   - a is a number and b is not: only numbers can follow a number;
//   - a is visible and b is a blank: a blank can only begin a piece or follow white space.
//
// Patterns do not look behind, so s[i:] splits in the same way as within s. The only look-ahead, after white
// space, does not matter, because a is not white space.
func isBoundary(s string, i int) bool {
	if !utf8.RuneStart(s[i]) {
		return false
	}
	a, _ := utf8.DecodeLastRuneInString(s[:i])
	b, _ := utf8.DecodeRuneInString(s[i:])
	switch {
	case b == ' ' || b == '\t':
		return !unicode.IsSpace(a)
	case unicode.IsLetter(a):
		return !unicode.IsLetter(b) && !unicode.IsMark(b) && b != '\''
	case unicode.IsNumber(a):
		return !unicode.IsNumber(b)
	default:
		return false
	}
}
