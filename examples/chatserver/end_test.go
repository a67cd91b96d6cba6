package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"io"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulatortest"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/memnet"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// A browser that does not read blocks neither its call nor the queue.
func TestBrowserThatDoesNotRead(t *testing.T) {
	emulatortest.Run(t, func(t *testing.T, client *ratelimited.Client, _ *emulator.Server) {
		var network memnet.Network
		listener, err := network.Listen("")
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: newHandler(client), ReadHeaderTimeout: time.Second}
		served := make(chan error, 1)
		go func() { served <- server.Serve(listener) }()
		for range 3 {
			browser, err := network.Dial(context.Background(), "", "")
			if err != nil {
				t.Fatal(err)
			}
			defer browser.Close()
			body := `{"message":"I do not receive."}`
			if _, err := io.WriteString(browser, "POST /chat HTTP/1.1\r\nHost: chat\r\nContent-Length: 31\r\n\r\n"+body); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * time.Minute)
		for name, s := range client.Snapshot() {
			if s.Waiting+s.InFlight > 0 {
				t.Errorf("limiter %q: %v", name, s)
			}
		}
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}, slow...)
}

// childVariable is set in the child process of TestTerminated.
const childVariable = "CHATSERVER_TEST_CHILD"

// TestServeUntilTerminated is the child process of TestTerminated.
func TestServeUntilTerminated(t *testing.T) {
	if os.Getenv(childVariable) == "" {
		t.Skip("only runs as the child process of TestTerminated")
	}
	os.Args = []string{"chatserver", "-addr", "127.0.0.1:0"}
	flag.CommandLine = flag.NewFlagSet(os.Args[0], flag.ExitOnError)
	main()
}

// SIGTERM shuts the program down without an error.
func TestTerminated(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows does not support SIGTERM")
	}
	program := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestServeUntilTerminated$")
	program.Env = append(os.Environ(), childVariable+"=1", "MISTRAL_API_KEY=")
	out, err := program.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	serves := false
	for !serves && lines.Scan() {
		serves = strings.HasPrefix(lines.Text(), "Serving the chat at ")
	}
	if err := program.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	rest := ""
	for lines.Scan() {
		rest += lines.Text() + "\n"
	}
	if err := program.Wait(); err != nil || !strings.Contains(rest, "Shutting down.") {
		t.Errorf("the program ended with %v: %s", err, rest)
	}
}
