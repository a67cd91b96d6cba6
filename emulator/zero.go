package emulator

import "errors"

var (
	errNoEmulator = errors.New("emulator: the Emulator is nil or a zero value: must be made with emulator.New, Start or Listen")
	errNoServer   = errors.New("emulator: the Server is nil or a zero value: must be made with emulator.Start or Listen")
)

// isZero reports whether none of the functions that make an emulator did.
func (e *Emulator) isZero() bool { return e == nil || e.journal == nil }

// isZero reports whether Listen did not make the server.
func (s *Server) isZero() bool { return s == nil || s.http == nil }
