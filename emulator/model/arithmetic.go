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
	sumRule    = regexp.MustCompile(`(?i)` + numeral + `\s*(\+|-|−|\*|×|x|/|÷|plus|minus|times|multiplied by|divided by)\s*` + numeral)
	doubleRule = regexp.MustCompile(`(?i)\bdouble\b`)
	numberRule = regexp.MustCompile(numeral)
	stepRules  = map[string]*regexp.Regexp{
		"plus":  regexp.MustCompile(`(?i)\badd\s+` + numeral),
		"minus": regexp.MustCompile(`(?i)\bsubtract\s+` + numeral),
		"times": regexp.MustCompile(`(?i)\bmultipl(?:y|ied)\b[^0-9-]*\bby\s+` + numeral),
		"over":  regexp.MustCompile(`(?i)\bdivided?\b[^0-9-]*\bby\s+` + numeral),
	}
)

// calculate answers a sum, or a step on from the last number that the model wrote.
func calculate(text string, p Prompt) (string, bool) {
	if m := sumRule.FindStringSubmatch(text); m != nil {
		return apply(m[1], m[2], m[3]), true
	}
	last := lastNumber(p)
	for operator, rule := range stepRules {
		if m := rule.FindStringSubmatch(text); m != nil && last != "" {
			return apply(last, operator, m[1]), true
		}
	}
	if last != "" && doubleRule.MatchString(text) {
		return apply(last, "times", "2"), true
	}
	return "", false
}

// apply calculates with two numerals.
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
		return "That has no answer."
	}
	rounded, _ := strconv.ParseFloat(strconv.FormatFloat(result, 'g', 12, 64), 64) // 0.1 + 0.2 is 0.3
	return strconv.FormatFloat(rounded, 'f', -1, 64)
}

// lastNumber returns the last number in the model's last message that has one.
func lastNumber(p Prompt) string {
	for _, entry := range slices.Backward(slices.Concat(p.History, p.Inputs)) {
		if m, ok := entry.Value().(generated.MessageOutputEntry); ok {
			if all := numberRule.FindAllString(m.Content.Text(), -1); all != nil {
				return all[len(all)-1]
			}
		}
	}
	return ""
}
