package ratelimited

// A zeroValue is a value that this package did not make, as an error message shows it.
type zeroValue struct{}

func (zeroValue) String() string { return "nil, or a zero value" }

var (
	errNoClient = &ConfigError{Field: "Client", Value: zeroValue{}, Rule: "must be made with ratelimited.New"}
	errNoStream = &ConfigError{Field: "Stream", Value: zeroValue{}, Rule: "must come from StartStream, AppendStream or RestartStream; if that returned an error, there is none"}
	errNoFuture = &ConfigError{Field: "Future", Value: zeroValue{}, Rule: "must come from ratelimited.Async"}
)

// check refuses a client that New did not make.
func (c *Client) check() error {
	if c == nil || c.calls == nil {
		return errNoClient
	}
	return nil
}

// owner returns the client of the service; nil if New did not make it.
func (s *Conversations) owner() *Client {
	if s == nil {
		return nil
	}
	return s.client
}

// owner returns the client of the service; nil if New did not make it.
func (s *Agents) owner() *Client {
	if s == nil {
		return nil
	}
	return s.client
}

// isZero reports whether no call made the stream.
func (s *Stream) isZero() bool { return s == nil || s.stream == nil }

// isZero reports whether Async did not make the future.
func (f *Future[T]) isZero() bool { return f == nil || f.done == nil }
