package limiter

import "time"

// acceptedRequests holds the latest requests that the server accepted. They show whether other clients
// use the account. If this client is alone, the server rejects a request because of the requests that
// it accepted in the window before. The window is then longer than the time between an accepted and a
// rejected request. It is shorter than any span in which the server accepted more requests than two
// windows hold, wherever its windows begin.
type acceptedRequests struct {
	times [65]time.Duration // when the requests were sent, latest first
	count int

	above span // shortest span with more requests than two windows hold
	below span // longest time between an accepted and a rejected request
}

// responseTime is how long the server may take to reject a request.
const responseTime = time.Second

// A span is a length of time and when to forget it.
type span struct{ length, until time.Duration }

// add counts a request sent now as accepted. window is the number of requests that a window holds.
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

// push adds the latest request.
func (s *acceptedRequests) push(now time.Duration) {
	copy(s.times[1:], s.times[:])
	s.times[0] = now
	s.count = min(len(s.times), s.count+1)
}

// sinceAccepted returns the time between the latest request accepted before t and t, [Never] without
// such a request.
func (s *acceptedRequests) sinceAccepted(t time.Duration) time.Duration {
	for _, accepted := range s.times[:s.count] {
		if accepted <= t {
			return t - accepted
		}
	}
	return Never
}

// remove forgets the request sent at the given time. It reports whether it found the request.
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

// throttled counts the request sent at the given time as rejected. requests is whether the request
// limit was the reason.
func (s *acceptedRequests) throttled(now, sent time.Duration, requests bool) {
	if !s.remove(sent) || !requests {
		return
	}
	if gap := s.sinceAccepted(sent); gap != Never && (gap > s.below.length || now > s.below.until) {
		s.below = span{gap, now + rejectedMemory}
	}
}

// showExternalUsage reports whether other clients must be using the account, if times are exact to the
// given tolerance.
func (s *acceptedRequests) showExternalUsage(now, tolerance time.Duration) bool {
	return now < s.above.until && now < s.below.until && s.below.length > s.above.length+tolerance
}
