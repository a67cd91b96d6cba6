package emulator

import (
	"errors"
	"fmt"
)

// Mode is the way in which the emulator counts requests and tokens.
type Mode uint8

const (
	// TokenBucket uses buckets that start full and refill continuously. Their capacity is
	// the requests of one second (at least 1) and the tokens of one minute.
	TokenBucket Mode = iota
	// FixedWindow counts in consecutive windows from the start of the emulator. The window
	// for tokens is one minute. The window for requests is one second if the rate is a whole
	// number. Otherwise it admits the whole part of the rate (at least 1) in the matching
	// time: 1.2 requests/s is 1 in 0.833 s, and 0.5 requests/s is 1 in 2 s.
	FixedWindow
	// SlidingWindow admits as much as FixedWindow, but in any window of that length.
	SlidingWindow
)

var modeNames = [...]string{TokenBucket: "token-bucket", FixedWindow: "fixed-window", SlidingWindow: "sliding-window"}

// String returns the name of the mode, such as "token-bucket".
func (m Mode) String() string {
	if int(m) < len(modeNames) {
		return modeNames[m]
	}
	return fmt.Sprintf("Mode(%d)", uint8(m))
}

// MarshalText returns the name of the mode.
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText parses the name of a mode.
func (m *Mode) UnmarshalText(text []byte) error {
	for mode, name := range modeNames {
		if name == string(text) {
			*m = Mode(mode)
			return nil
		}
	}
	return errors.New("must be token-bucket, fixed-window or sliding-window")
}
