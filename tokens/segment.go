package tokens

import (
	"unicode"
	"unicode/utf8"
)

// segmentBytes is the longest text given to the encoder at once. The encoder
// takes quadratic time for one piece, and a text with no place to split is one
// piece: this bounds it. Ordinary text in any script has a boundary far more often.
const segmentBytes = 512

// segmentEnd returns the length of the first segment of s, at most limit, which
// must be 4 or more. It ends at the last boundary there is. Without one it ends at
// limit, or up to three bytes before so as not to split a rune.
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
	return limit // not UTF-8: no rune is split
}

// boundary reports whether every encoding ends a piece at s[i], so that counting
// s[:i] and s[i:] apart gives the count of s. It may miss boundaries but never
// makes one up. With a and b the runes on the two sides, in all patterns:
//
//   - a letter, b none: only letters, marks and an apostrophe can follow a letter
//     in its piece;
//   - a number, b none: only numbers can follow a number;
//   - a visible, b a blank: a blank can only begin a piece, or follow white space.
//
// No pattern looks behind, so s[i:] splits as it does within s. The only look-ahead,
// after white space, sees the same in s[:i], since a is not white space.
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
