package schema

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"
)

// pattern is a compiled regular expression.
type pattern struct {
	*regexp.Regexp
	parsed *syntax.Regexp
	size   int // approximate number of instructions
}

// perStep is the number of instructions or runes that cost one step.
const perStep = 32

// pattern compiles the source of a pattern. It returns false for a pattern that package regexp
// does not support, because that dialect differs from JSON Schema's. For a pattern that is too
// large it also stops the work.
func (v generator) pattern(source string, at *place) (p pattern, ok bool) {
	if len(source) > maxPatternBytes {
		v.refuse(at, "must have at most %d bytes, got %d", maxPatternBytes, len(source))
		return p, false
	}
	parsed, err := syntax.Parse(source, syntax.Perl)
	if err != nil {
		return p, false
	}
	size, runes := sizeOf(parsed)
	if p.size = size; size > maxPatternSize {
		v.refuse(at, "must compile to at most %d instructions: it repeats too much", maxPatternSize)
		return p, false
	}
	const perInstruction = 8 // steps to compile one instruction
	if !v.spend(at, len(source)+perInstruction*size+runes/perStep) {
		return p, false
	}
	p.parsed = parsed.Simplify()
	p.Regexp, err = regexp.Compile(source)
	return p, err == nil
}

// sizeOf estimates the number of instructions of an expression, up to maxPatternSize+1, and
// returns the number of runes in its classes and literals.
func sizeOf(re *syntax.Regexp) (size, runes int) {
	size, runes = 1, len(re.Rune)
	if re.Op == syntax.OpLiteral {
		size = len(re.Rune)
	}
	for _, sub := range re.Sub {
		n, r := sizeOf(sub)
		size, runes = size+n, runes+r
	}
	if re.Op == syntax.OpRepeat {
		size *= max(1, re.Min, re.Max)
	}
	return min(size, maxPatternSize+1), runes
}

// matching returns a text that matches a pattern and whose length is from minLen to maxLen. It
// tries the given text, words of the prompt and generated texts.
func (v generator) matching(source string, minLen, maxLen int, text string, at *place) (string, bool) {
	p, ok := v.pattern(source, at)
	if !ok {
		return "", false
	}
	// In the worst case a match tries each instruction at each character.
	matches := func(text string) bool {
		n := utf8.RuneCountInString(text)
		return minLen <= n && n <= maxLen && v.spend(at, 1+len(text)*p.size/perStep) && p.MatchString(text)
	}
	var found []string
	try := func(candidates ...string) (enough bool) {
		for _, candidate := range candidates {
			if v.err == nil && matches(candidate) && !slices.Contains(found, candidate) {
				found = append(found, candidate)
			}
			if len(found) > v.variant {
				return true
			}
		}
		return false
	}
	enough := try(resized(text, minLen, maxLen)) || try(v.hints.words...)
	last := ""
	for repeats := 0; repeats < maxRepeats && !enough && v.err == nil; repeats++ {
		sample := v.sample(p, repeats, at)
		if repeats > 1 && sample == last {
			break // The pattern contains no repetitions.
		}
		last = sample
		enough = try(sample, resized(sample, minLen, maxLen))
	}
	if found == nil || v.err != nil {
		return "", false
	}
	return found[min(v.variant, len(found)-1)], true
}

// maxRepeats bounds the number of repetitions in a generated text.
const maxRepeats = 40

// sampler generates a text that matches a regular expression.
type sampler struct {
	text    strings.Builder
	repeats int // the number of repetitions to write
	left    int // the number of expressions and characters left to write
	steps   int // the number of steps taken
}

// maxSampled bounds the number of expressions and characters in a generated text.
const maxSampled = 1 << 14

func (v generator) sample(p pattern, repeats int, at *place) string {
	s := sampler{repeats: repeats, left: maxSampled}
	s.write(p.parsed)
	v.spend(at, s.steps)
	return s.text.String()
}

// write writes a text for an expression. It omits parts beyond maxSampled; the text then does
// not match.
func (s *sampler) write(re *syntax.Regexp) {
	cost := 1
	if re.Op == syntax.OpLiteral {
		cost = len(re.Rune)
	}
	if s.left -= cost; s.left < 0 {
		return
	}
	s.steps += cost + len(re.Rune)/perStep
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
	default: // The other operators match the empty text. Simplify has removed OpRepeat.
	}
	for ; times > 0 && s.left > 0; times-- {
		s.write(re.Sub[0])
	}
}
