package schema

import (
	"math/big"
	"strconv"
	"strings"
)

// maxExponent bounds the exponents of compared numbers. A number of a few bytes with a larger
// exponent would need megabytes.
const maxExponent = 1000

// decimal splits a JSON number into its sign, its digits without leading and trailing zeros, and
// the exponent of the last digit. The digits of zero are empty. If the exponent is beyond 10^9, ok
// is false.
func decimal(text string) (negative bool, digits string, exponent int, ok bool) {
	text, negative = strings.CutPrefix(text, "-")
	mantissa, power, _ := strings.Cut(strings.ToLower(text), "e")
	ok = true
	if power != "" {
		n, err := strconv.Atoi(power)
		if err != nil || n > 1e9 || n < -1e9 {
			n, ok = 0, false
		}
		exponent = n
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	exponent -= len(fraction)
	digits = strings.TrimLeft(whole+fraction, "0")
	trimmed := strings.TrimRight(digits, "0")
	exponent += len(digits) - len(trimmed)
	if trimmed == "" {
		return false, "", 0, true
	}
	return negative, trimmed, exponent, ok
}

// canonical returns the same text for numbers of equal value.
func canonical(text string) string {
	negative, digits, exponent, ok := decimal(text)
	if !ok {
		return text
	}
	return strconv.FormatBool(negative) + digits + "e" + strconv.Itoa(exponent)
}

// wholeNumber returns an integer in the syntax of Go, such as 3 for 3.0 and 3e0.
func wholeNumber(text string) (string, bool) {
	negative, digits, exponent, ok := decimal(text)
	switch {
	case !ok || exponent < 0 || exponent+len(digits) > maxExponent:
		return "", false
	case digits == "":
		return "0", true
	}
	digits += strings.Repeat("0", exponent)
	if negative {
		digits = "-" + digits
	}
	return digits, true
}

// rational returns the exact value of a number with at most 1,000 digits.
func rational(text string) (*big.Rat, bool) {
	_, digits, exponent, ok := decimal(text)
	if !ok || exponent > maxExponent || exponent < -maxExponent || len(digits) > maxExponent {
		return nil, false
	}
	return new(big.Rat).SetString(text)
}
