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

// TestRefusedConnections makes the operating system refuse new connections for an hour. An
// existing connection continues to work, and the server can be closed.
func TestRefusedConnections(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{}).unchecked()
	address := strings.TrimPrefix(a.URL(), "http://")
	open, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = open.Close() }()
	// The first request ensures that the server has accepted the connection: closing the
	// listener closes connections that it has not accepted.
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
		readResponse(t, response).want(http.StatusOK)
	}
	list()
	if err := a.SetFaults(emulator.Fault{Kind: emulator.FaultRefuse, Delay: time.Hour, Operation: "StartConversation"}); err != nil {
		t.Fatal(err)
	}
	if got := a.outcome(plainHello); got != "end" {
		t.Errorf("the request with the fault ended with %s, want end", got)
	}
	if conn, err := net.Dial("tcp", address); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("Dial returned %v, %v, want a refused connection", conn, err)
	}
	list()
	if s := a.Stats(); s.Faults[emulator.FaultRefuse] != 1 || s.Statuses[0] != 1 {
		t.Errorf("stats are %+v", s)
	}
}

// TestConnectionsAreAcceptedAgain sends requests until one succeeds.
func TestConnectionsAreAcceptedAgain(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{Faults: []emulator.Fault{{Kind: emulator.FaultRefuse, Delay: time.Millisecond, Times: 1}}}).unchecked()
	if got := a.outcome(plainHello); got != "end" {
		t.Errorf("the request with the fault ended with %s, want end", got)
	}
	for got := ""; got != "200" && t.Context().Err() == nil; {
		got = a.outcome(plainHello)
	}
}

// An emulator without a listener cannot refuse connections.
func TestRefusedConnectionNeedsAListener(t *testing.T) {
	t.Parallel()
	const want = `emulator: Faults[0]: Kind: must not be "refuse", because only an emulator that listens itself (Start, Listen) can refuse connections`
	fault := emulator.Fault{Kind: emulator.FaultRefuse, Delay: time.Second}
	if err := emulator.New(emulator.Config{}).SetFaults(fault); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("error is %v, want %s", err, want)
	}
	if list, err := emulator.ParseFaults([]byte(`[{kind: refuse, delay: 1s}]`)); err != nil || len(list) != 1 {
		t.Errorf("ParseFaults returned %+v, %v, want one fault", list, err)
	}
	defer func() {
		if err, ok := recover().(error); !ok || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("New panics with %v, want %s", err, want)
		}
	}()
	emulator.New(emulator.Config{Faults: []emulator.Fault{fault}})
}
