package schema

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"
)

// pattern is a regular expression that can be matched within bounds.
type pattern struct {
	*regexp.Regexp
	parsed *syntax.Regexp
	size   int
}

// perStep is how many instructions, tried or listed, cost as much as one step.
const perStep = 32

// pattern compiles the source of a pattern. One that Go does not know is ignored, as
// its dialect is not the one of JSON Schema; one that is too large is refused.
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
	const perInstruction = 8 // Compiling one takes about as long as so many steps.
	if !v.spend(at, len(source)+perInstruction*size+runes/perStep) {
		return p, false
	}
	p.parsed = parsed.Simplify()
	p.Regexp, err = regexp.Compile(source)
	return p, err == nil
}

// sizeOf returns about how many instructions an expression compiles to, at most one
// more than maxPatternSize, and how many runes its classes and literals list.
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

// matching returns a text that matches a pattern: of the prompt, or made for it.
func (v generator) matching(source string, least, most int, text string, at *place) (string, bool) {
	rule, ok := v.pattern(source, at)
	if !ok {
		return "", false
	}
	// At worst, a match tries each instruction at each character.
	fits := func(text string) bool {
		n := utf8.RuneCountInString(text)
		return least <= n && n <= most && v.spend(at, 1+len(text)*rule.size/perStep) && rule.MatchString(text)
	}
	var fitting []string
	try := func(candidates ...string) (enough bool) {
		for _, candidate := range candidates {
			if v.err == nil && fits(candidate) && !slices.Contains(fitting, candidate) {
				fitting = append(fitting, candidate)
			}
			if len(fitting) > v.variant {
				return true
			}
		}
		return false
	}
	enough := try(fitted(text, least, most)) || try(v.hints.words...)
	last := ""
	for repeats := 0; repeats < mostRepeats && !enough && v.err == nil; repeats++ {
		made := v.sample(rule, repeats, at)
		if repeats > 1 && made == last {
			break // It has nothing that may be repeated.
		}
		last = made
		enough = try(made, fitted(made, least, most))
	}
	if fitting == nil || v.err != nil {
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
	left    int // expressions and characters to write
	steps   int // taken
}

const mostSampled = 1 << 14

func (v generator) sample(rule pattern, repeats int, at *place) string {
	s := sampler{repeats: repeats, left: mostSampled}
	s.write(rule.parsed)
	v.spend(at, s.steps)
	return s.text.String()
}

// write leaves out what would make the text too long. It does not match then.
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
	default: // All others match where nothing is. Repeats are gone, by Simplify.
	}
	for ; times > 0 && s.left > 0; times-- {
		s.write(re.Sub[0])
	}
}
