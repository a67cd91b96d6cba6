package emulator

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
	addRule    = regexp.MustCompile(`(?i)\badd\s+` + numeral)
	takeRule   = regexp.MustCompile(`(?i)\bsubtract\s+` + numeral)
	timesRule  = regexp.MustCompile(`(?i)\bmultipl(?:y|ied)\b[^0-9-]*\bby\s+` + numeral)
	divideRule = regexp.MustCompile(`(?i)\bdivided?\b[^0-9-]*\bby\s+` + numeral)
	doubleRule = regexp.MustCompile(`(?i)\bdouble\b`)
	numberRule = regexp.MustCompile(numeral)
)

// calculate answers a sum, or a step on from the last number that the model wrote.
func calculate(text string, p Prompt) (string, bool) {
	if m := sumRule.FindStringSubmatch(text); m != nil {
		return apply(m[1], m[2], m[3])
	}
	last, ok := lastNumber(p)
	if !ok {
		return "", false
	}
	for _, step := range []struct {
		rule     *regexp.Regexp
		operator string
	}{{addRule, "+"}, {takeRule, "-"}, {timesRule, "*"}, {divideRule, "/"}} {
		if m := step.rule.FindStringSubmatch(text); m != nil {
			return apply(last, step.operator, m[1])
		}
	}
	if doubleRule.MatchString(text) {
		return apply(last, "*", "2")
	}
	return "", false
}

func apply(left, operator, right string) (string, bool) {
	a, errA := strconv.ParseFloat(left, 64)
	b, errB := strconv.ParseFloat(right, 64)
	if errA != nil || errB != nil {
		return "", false
	}
	var result float64
	switch strings.ToLower(operator) {
	case "+", "plus":
		result = a + b
	case "-", "−", "minus":
		result = a - b
	case "*", "×", "x", "times", "multiplied by":
		result = a * b
	default:
		result = a / b
	}
	if math.IsNaN(result) || math.IsInf(result, 0) {
		return "That has no answer.", true
	}
	const digits = 12 // 0.1 + 0.2 is 0.3
	return strconv.FormatFloat(round(result, digits), 'f', -1, 64), true
}

func round(x float64, digits int) float64 {
	text := strconv.FormatFloat(x, 'g', digits, 64)
	if rounded, err := strconv.ParseFloat(text, 64); err == nil {
		return rounded
	}
	return x
}

// lastNumber returns the last number in the model's last message that has one.
func lastNumber(p Prompt) (string, bool) {
	for _, entry := range slices.Backward(slices.Concat(p.History, p.Inputs)) {
		if m, ok := entry.Value().(generated.MessageOutputEntry); ok {
			if all := numberRule.FindAllString(m.Content.Text(), -1); all != nil {
				return all[len(all)-1], true
			}
		}
	}
	return "", false
}
