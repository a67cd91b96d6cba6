package ratelimited

// A zeroValue stands, in an error message, for a value that this package did not create.
type zeroValue struct{}

func (zeroValue) String() string { return "nil or the zero value" }

var (
	errNoClient = &ConfigError{Field: "Client", Value: zeroValue{}, Rule: "must come from ratelimited.New"}
	errNoStream = &ConfigError{Field: "Stream", Value: zeroValue{}, Rule: "must come from StartStream, AppendStream or RestartStream, which return nil with an error"}
	errNoFuture = &ConfigError{Field: "Future", Value: zeroValue{}, Rule: "must come from ratelimited.Async"}
)

// check rejects a client that New did not return.
func (c *Client) check() error {
	if c == nil || c.calls == nil {
		return errNoClient
	}
	return nil
}

// owner returns the client of the service; nil if New did not create it.
func (s *Conversations) owner() *Client {
	if s == nil {
		return nil
	}
	return s.client
}

// owner returns the client of the service; nil if New did not create it.
func (s *Agents) owner() *Client {
	if s == nil {
		return nil
	}
	return s.client
}

// isZero reports whether the stream is nil or the zero value.
func (s *Stream) isZero() bool { return s == nil || s.stream == nil }

// isZero reports whether the future is nil or the zero value.
func (f *Future[T]) isZero() bool { return f == nil || f.done == nil }
