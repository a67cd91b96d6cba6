package emulator

import "testing"

// TestOldBodiesAreForgotten keeps the requests, and of the older ones no body.
func TestOldBodiesAreForgotten(t *testing.T) {
	t.Parallel()
	e := &Emulator{log: newRequestLog()}
	for i := range MaxRecorded + 10 {
		if i == MaxRecordedBodies+1 && e.bodies() != MaxRecordedBodies {
			t.Errorf("%d of %d requests have a body, want %d", e.bodies(), i, MaxRecordedBodies)
		}
		e.log.begin(new(record))
		e.log.end(&record{Recorded: Recorded{Body: "x"}}, 200)
	}
	list := e.Requests()
	if e.bodies() != MaxRecordedBodies || list[len(list)-1].Body == "" || len(list) != MaxRecorded {
		t.Errorf("%d of %d requests have a body, want %d", e.bodies(), len(list), MaxRecordedBodies)
	}
}

func (e *Emulator) bodies() int {
	n := 0
	for _, r := range e.Requests() {
		if r.Body != "" {
			n++
		}
	}
	return n
}
