package limiter

import "fmt"

// The largest accepted limits. Up to these values the buckets, which count in
// float64, are exact to far less than a token and a millionth of a request.
const (
	MaxRequests = 1_000_000         // requests per second, and capacity in requests
	MaxTokens   = 1_000_000_000_000 // tokens per minute, and capacity in tokens
)

// Limit holds a limiter's two rates and, for each, a capacity: how much of it
// calls may use at once after an idle time.
type Limit struct {
	// RequestsPerSecond is the refill rate of the request bucket: above 0, at
	// most MaxRequests. Fractions are exact: 0.08 is one request every 12.5 s.
	RequestsPerSecond float64

	// TokensPerMinute is the refill rate of the token bucket: at least 1, at
	// most MaxTokens.
	TokensPerMinute int

	// RequestBurst is the capacity of the request bucket, in requests: at least 1, at most
	// MaxRequests. Its resolution is a millionth of a request (a thousandth on 32-bit platforms).
	// 0 means RequestsPerSecond or 1, whichever is larger, because a bucket that cannot hold a
	// whole request would never admit one.
	RequestBurst float64

	// TokenBurst is the capacity of the token bucket, and therefore the size of the largest
	// call that can be admitted: at least 1, at most MaxTokens. 0 means TokensPerMinute.
	TokenBurst int
}

// Validate returns a [*LimitError] for the first invalid field, or nil.
func (l Limit) Validate() error {
	// NaN fails these conditions, because every comparison with NaN is false.
	if r := l.RequestsPerSecond; !(r > 0 && r <= MaxRequests) {
		return &LimitError{"RequestsPerSecond", r, fmt.Sprintf("must be above 0 and at most %d", MaxRequests)}
	}
	if n := l.TokensPerMinute; n < 1 || int64(n) > MaxTokens {
		return &LimitError{"TokensPerMinute", n, fmt.Sprintf("must be at least 1 and at most %d", int64(MaxTokens))}
	}
	if b := l.RequestBurst; b != 0 && !(b >= 1 && b <= MaxRequests) {
		return &LimitError{"RequestBurst", b, fmt.Sprintf("must be 0 (default) or at least 1 and at most %d", MaxRequests)}
	}
	if n := l.TokenBurst; n < 0 || int64(n) > MaxTokens {
		return &LimitError{"TokenBurst", n, fmt.Sprintf("must be 0 (default) or at least 1 and at most %d", int64(MaxTokens))}
	}
	return nil
}

// WithDefaults returns l with zero capacities replaced by their defaults.
func (l Limit) WithDefaults() Limit {
	if l.RequestBurst == 0 {
		l.RequestBurst = max(1, l.RequestsPerSecond)
	}
	if l.TokenBurst == 0 {
		l.TokenBurst = l.TokensPerMinute
	}
	return l
}
