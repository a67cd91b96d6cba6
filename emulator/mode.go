package emulator

import (
	"errors"
	"fmt"
)

// Mode is a way to count requests and tokens.
type Mode uint8

const (
	// TokenBucket holds one second's requests (at least one) and one minute's tokens,
	// full at first, and refills continuously.
	TokenBucket Mode = iota
	// FixedWindow counts in windows of time from the start of the emulator: tokens in a
	// minute; requests in a second if RPS is whole, and else its whole part (at least 1) in
	// the time that those take: 1.2 is one in 0.833 s, 0.5 is one in 2 s.
	FixedWindow
	// SlidingWindow allows as much as FixedWindow, in any window of that length.
	SlidingWindow
)

var modeNames = [...]string{TokenBucket: "token-bucket", FixedWindow: "fixed-window", SlidingWindow: "sliding-window"}

// String returns the name of the mode, as "token-bucket".
func (m Mode) String() string {
	if int(m) < len(modeNames) {
		return modeNames[m]
	}
	return fmt.Sprintf("Mode(%d)", uint8(m))
}

// MarshalText returns the name of the mode.
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads the name of a mode.
func (m *Mode) UnmarshalText(text []byte) error {
	for mode, name := range modeNames {
		if name == string(text) {
			*m = Mode(mode)
			return nil
		}
	}
	return errors.New("must be token-bucket, fixed-window or sliding-window")
}
