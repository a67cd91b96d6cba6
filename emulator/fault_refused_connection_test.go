package emulator_test

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
)

// TestRefusedConnections has the system refuse who connects, for an hour; a connection
// that there was before goes on. The server can be closed meanwhile, as start does.
func TestRefusedConnections(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{}).unchecked()
	address := strings.TrimPrefix(a.URL(), "http://")
	open, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = open.Close() }()
	// A first request, as a connection that nobody has accepted yet goes with the listener.
	list := func() {
		t.Helper()
		request := newRequest(t, http.MethodGet, a.URL()+"/v1/agents", "")
		if err := request.Write(open); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(bufio.NewReader(open), request)
		if err != nil {
			t.Fatal(err)
		}
		readReply(t, response).want(http.StatusOK)
	}
	list()
	if err := a.SetFaults(emulator.Fault{Kind: emulator.FaultRefuse, Delay: time.Hour, Operation: "StartConversation"}); err != nil {
		t.Fatal(err)
	}
	if got := a.outcome(plainHello); got != "end" {
		t.Errorf("the request that is struck ends with %s", got)
	}
	if conn, err := net.Dial("tcp", address); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("who connects has %v and sees %v, want that it is refused", conn, err)
	}
	list()
	if s := a.Stats(); s.Faults[emulator.FaultRefuse] != 1 || s.Statuses[0] != 1 {
		t.Errorf("stats are %+v", s)
	}
}

// TestRefusalEnds goes on until there is a reply.
func TestRefusalEnds(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{Faults: []emulator.Fault{{Kind: emulator.FaultRefuse, Delay: time.Millisecond, Times: 1}}}).unchecked()
	if got := a.outcome(plainHello); got != "end" {
		t.Errorf("the request that is struck ends with %s", got)
	}
	for got := ""; got != "200" && t.Context().Err() == nil; {
		got = a.outcome(plainHello)
	}
}

// TestRefusalNeedsAListener has emulators that cannot refuse anybody.
func TestRefusalNeedsAListener(t *testing.T) {
	t.Parallel()
	const want = `emulator: Faults[0]: Kind: must not be "refuse", because only an emulator that listens itself (Start, Listen) can refuse connections`
	fault := emulator.Fault{Kind: emulator.FaultRefuse, Delay: time.Second}
	if err := emulator.New(emulator.Config{}).SetFaults(fault); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("error is %v, want %s", err, want)
	}
	if list, err := emulator.ParseFaults([]byte(`[{kind: refuse, delay: 1s}]`)); err != nil || len(list) != 1 {
		t.Errorf("a file has %+v, %v", list, err)
	}
	defer func() {
		if err, ok := recover().(error); !ok || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("New panics with %v, want %s", err, want)
		}
	}()
	emulator.New(emulator.Config{Faults: []emulator.Fault{fault}})
}
