// Package plainflag rewrites the errors of package flag for users of commands.
package plainflag

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/nearest"
)

var (
	invalidValue = regexp.MustCompile(`^invalid (?:boolean )?value "((?s:.*))" for (?:flag )?-([a-z-]+): (.*)$`)
	undefined    = regexp.MustCompile(`^flag provided but not defined: -(.*)$`)
	noValue      = regexp.MustCompile(`^flag needs an argument: -(.*)$`)
)

// Error rewrites an error of package flag as the flag, the rule and the value. For an unknown flag it suggests the
// most similar one.
func Error(flags *flag.FlagSet, err error) error {
	text := err.Error()
	if m := invalidValue.FindStringSubmatch(text); m != nil {
		rule := m[3]
		if rule == "parse error" || strings.HasPrefix(rule, "strconv.") {
			rule = "must be true or false" // only boolean flags have errors without a rule
		}
		return fmt.Errorf("-%s: %s, got %q", m[2], rule, m[1])
	}
	if m := noValue.FindStringSubmatch(text); m != nil {
		return fmt.Errorf("-%s: must have a value", m[1])
	}
	if m := undefined.FindStringSubmatch(text); m != nil {
		var names []string
		flags.VisitAll(func(f *flag.Flag) { names = append(names, f.Name) })
		return fmt.Errorf("unknown flag -%s%s", m[1], strings.Replace(nearest.Hint(m[1], names), `"`, `"-`, 1))
	}
	return err
}

// Positive returns a function for [flag.Func] that sets a finite number above 0.
func Positive(into *float64) func(string) error {
	return number(into, "must be a positive number", func(n float64) bool { return n > 0 })
}

// Limit is Positive for a limit, which 0 turns off.
func Limit(into *float64) func(string) error {
	return number(into, "must be a positive number", func(n float64) bool { return n >= 0 })
}

// NonNegative returns a function for [flag.Func] that sets a finite number of at least 0.
func NonNegative(into *float64) func(string) error {
	return number(into, "must be a number of at least 0", func(n float64) bool { return n >= 0 })
}

func number(into *float64, rule string, isValid func(float64) bool) func(string) error {
	return func(text string) error {
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || !isValid(n) || math.IsInf(n, 0) {
			return errors.New(rule)
		}
		*into = n
		return nil
	}
}
