package emulator

import "testing"

// The log keeps the latest requests, but the bodies of fewer of them.
func TestOldBodiesAreDropped(t *testing.T) {
	t.Parallel()
	e := &Emulator{log: newRequestLog()}
	for i := range MaxRecorded + 10 {
		if i == MaxRecordedBodies+1 && e.bodies() != MaxRecordedBodies {
			t.Errorf("after %d requests %d have a body, want %d", i, e.bodies(), MaxRecordedBodies)
		}
		e.log.begin(new(record))
		e.log.end(&record{Recorded: Recorded{Body: "x"}}, 200)
	}
	list := e.Requests()
	if e.bodies() != MaxRecordedBodies || list[len(list)-1].Body == "" || len(list) != MaxRecorded {
		t.Errorf("%d of %d requests have a body, want %d", e.bodies(), len(list), MaxRecordedBodies)
	}
}

// bodies returns the number of recorded requests with a body.
func (e *Emulator) bodies() int {
	n := 0
	for _, r := range e.Requests() {
		if r.Body != "" {
			n++
		}
	}
	return n
}
