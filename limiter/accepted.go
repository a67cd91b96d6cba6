package limiter

import "time"

// acceptedRequests are the latest requests that the server accepted. They show when others use the
// account: a server that this client uses alone refuses a request because of those that it
// accepted in the window before. So the window of such a server is longer than the time between
// an accepted request and a refused one, and shorter than a span in which it accepted more
// requests than two windows hold, wherever its windows begin.
type acceptedRequests struct {
	times [65]time.Duration // when they were sent, the latest first
	count int

	above span // shortest span with more requests than two windows hold
	below span // longest time between an accepted and a refused request
}

// responseTime is how long a request may be refused yet.
const responseTime = time.Second

// A span is a length of time, and when it is forgotten.
type span struct{ length, until time.Duration }

// add counts a request as accepted, while a window holds the given number.
func (s *acceptedRequests) add(now time.Duration, window int) {
	s.push(now)
	first := 1
	if first+2*window >= s.count {
		return
	}
	for first < s.count && now-s.times[first] < responseTime {
		first++
	}
	oldest := first + 2*window
	if oldest >= s.count {
		return
	}
	length := s.times[first] - s.times[oldest]
	if length < s.above.length || now > s.above.until {
		s.above = span{length, now + rejectedMemory}
	}
}

// push adds a request as the latest.
func (s *acceptedRequests) push(now time.Duration) {
	copy(s.times[1:], s.times[:])
	s.times[0] = now
	s.count = min(len(s.times), s.count+1)
}

// sinceAccepted returns the time between the latest request that was accepted before a given time
// and that time, [Never] if none was.
func (s *acceptedRequests) sinceAccepted(t time.Duration) time.Duration {
	for _, accepted := range s.times[:s.count] {
		if accepted <= t {
			return t - accepted
		}
	}
	return Never
}

// remove forgets the request that was sent at the given time. It reports whether it was known.
func (s *acceptedRequests) remove(sent time.Duration) bool {
	for i := range s.count {
		if s.times[i] == sent {
			copy(s.times[i:], s.times[i+1:s.count])
			s.count--
			return true
		}
	}
	return false
}

// throttled counts the request that was sent at the given time as refused, because of the request
// limit or for another reason.
func (s *acceptedRequests) throttled(now, sent time.Duration, requests bool) {
	if !s.remove(sent) || !requests {
		return
	}
	if gap := s.sinceAccepted(sent); gap != Never && (gap > s.below.length || now > s.below.until) {
		s.below = span{gap, now + rejectedMemory}
	}
}

// showExternalUsage reports whether others must use the account, if times are exact to the given
// tolerance.
func (s *acceptedRequests) showExternalUsage(now, tolerance time.Duration) bool {
	return now < s.above.until && now < s.below.until && s.below.length > s.above.length+tolerance
}
