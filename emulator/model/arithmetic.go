package model

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

const numeral = `(-?[0-9]+(?:\.[0-9]+)?)`

var (
	sumPattern    = regexp.MustCompile(`(?i)` + numeral + `\s*(\+|-|−|\*|×|x|/|÷|plus|minus|times|multiplied by|divided by)\s*` + numeral)
	doublePattern = regexp.MustCompile(`(?i)\bdouble\b`)
	numberPattern = regexp.MustCompile(numeral)
	stepPatterns  = map[string]*regexp.Regexp{
		"plus":  regexp.MustCompile(`(?i)\badd\s+` + numeral),
		"minus": regexp.MustCompile(`(?i)\bsubtract\s+` + numeral),
		"times": regexp.MustCompile(`(?i)\bmultipl(?:y|ied)\b[^0-9-]*\bby\s+` + numeral),
		"over":  regexp.MustCompile(`(?i)\bdivided?\b[^0-9-]*\bby\s+` + numeral),
	}
)

// calculate evaluates an expression, or applies an operation to the last number that the
// model wrote.
func calculate(text string, p Prompt) (string, bool) {
	if m := sumPattern.FindStringSubmatch(text); m != nil {
		return apply(m[1], m[2], m[3]), true
	}
	last := lastNumber(p)
	for operator, rule := range stepPatterns {
		if m := rule.FindStringSubmatch(text); m != nil && last != "" {
			return apply(last, operator, m[1]), true
		}
	}
	if last != "" && doublePattern.MatchString(text) {
		return apply(last, "times", "2"), true
	}
	return "", false
}

// apply applies an operator to two numerals.
func apply(left, operator, right string) string {
	a, _ := strconv.ParseFloat(left, 64)
	b, _ := strconv.ParseFloat(right, 64)
	result := a / b
	switch strings.ToLower(operator) {
	case "+", "plus":
		result = a + b
	case "-", "−", "minus":
		result = a - b
	case "*", "×", "x", "times", "multiplied by":
		result = a * b
	}
	if math.IsNaN(result) || math.IsInf(result, 0) {
		return "The result is undefined."
	}
	rounded, _ := strconv.ParseFloat(strconv.FormatFloat(result, 'g', 12, 64), 64) // For example, 0.1 + 0.2 is 0.3.
	return strconv.FormatFloat(rounded, 'f', -1, 64)
}

// lastNumber returns the last number in the model's last message that contains one.
func lastNumber(p Prompt) string {
	for _, entry := range slices.Backward(slices.Concat(p.History, p.Inputs)) {
		if m, ok := entry.Value().(generated.MessageOutputEntry); ok {
			if all := numberPattern.FindAllString(m.Content.Text(), -1); all != nil {
				return all[len(all)-1]
			}
		}
	}
	return ""
}
