package retry

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// After returns the wait that a server requests: Retry-After in seconds or as an HTTP date (RFC 9110, section
// 10.2.3), or retry-after-ms, which some gateways send. A date is relative to the response's Date, if present,
// because either clock may be wrong by hours. The result is 0 if these fields are missing or invalid.
func After(header http.Header, now time.Time) time.Duration {
	if ms, err := strconv.ParseFloat(strings.TrimSpace(header.Get("Retry-After-Ms")), 64); err == nil && ms > 0 {
		return duration(ms, time.Millisecond)
	}
	value := strings.TrimSpace(header.Get("Retry-After"))
	if seconds, err := strconv.ParseFloat(value, 64); err == nil {
		return duration(seconds, time.Second)
	}
	if date, err := http.ParseTime(value); err == nil {
		if sent, err := http.ParseTime(header.Get("Date")); err == nil {
			now = sent
		}
		return max(0, date.Sub(now))
	}
	return 0
}

// duration returns n units of time: 0 if n is negative or not a number, and the maximum duration if n is too
// large.
func duration(n float64, unit time.Duration) time.Duration {
	switch {
	case math.IsNaN(n) || n <= 0:
		return 0
	case n >= float64(math.MaxInt64/unit):
		return math.MaxInt64
	}
	return time.Duration(n * float64(unit))
}
