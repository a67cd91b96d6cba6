package ratelimited_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// childVariable is the environment variable of the process that is killed. It contains the URL of the server and
// the path of the state file.
const childVariable = "STATE_TEST_SERVER_AND_FILE"

// killConfig returns a configuration that allows two calls a minute.
func killConfig(server, path string) ratelimited.Config {
	return ratelimited.Config{
		APIKey: secretKey, BaseURL: server, RequestsPerSecond: 100, TokensPerMinute: 1000, FixedEstimates: true, StateFile: path, MaxRetries: ratelimited.NoRetries,
	}
}

// TestCallUntilKilled runs in the process that TestStateOfKilledProcess starts and kills.
func TestCallUntilKilled(t *testing.T) {
	server, path, found := strings.Cut(os.Getenv(childVariable), " ")
	if !found {
		t.Skip("only for the process that TestStateOfKilledProcess starts")
	}
	client := newClient(t, killConfig(server, path))
	encoder := json.NewEncoder(os.Stdout)
	for t.Context().Err() == nil { // the third call waits for 30 s
		if _, err := start(t.Context(), client, ratelimited.WithTokenEstimate(450)); err != nil {
			t.Fatal(err)
		}
		if err := encoder.Encode(client.Snapshot()[""].Settled); err != nil {
			t.Fatal(err)
		}
	}
}

// A process is killed with SIGKILL. The next process reads its usage from the state file, and does not send a call that
// the server would reject.
func TestStateOfKilledProcess(t *testing.T) {
	e := emulator.New(emulator.Config{
		RequestsPerSecond: 100, TokensPerMinute: 1000, Mode: emulator.SlidingWindow,
		Model: func(context.Context, emulator.Prompt) emulator.Reply {
			return emulator.Reply{Text: "Hi.", Usage: &generated.ConversationUsageInfo{PromptTokens: 10, CompletionTokens: 440, TotalTokens: 450}}
		},
	})
	server := httptest.NewServer(checked(t, e.ServeHTTP))
	defer server.Close()
	path := filepath.Join(t.TempDir(), "state")
	config := killConfig(server.URL, path)

	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCallUntilKilled$")
	child.Env = append(os.Environ(), childVariable+"="+server.URL+" "+path)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	for _, want := range []string{"1\n", "2\n"} {
		if line, err := lines.ReadString('\n'); line != want {
			t.Fatalf("the child process prints %q, want %q: %v", line, want, err)
		}
	}
	for _, err := os.Stat(path); err != nil; _, err = os.Stat(path) { // calls do not wait until the file is written
		time.Sleep(time.Millisecond)
		if t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
	var invalid *ratelimited.ConfigError
	if _, err := ratelimited.New(config); !errors.As(err, &invalid) || invalid.Field != "StateFile" {
		t.Errorf("while the child process uses the file, New returns %v, want a ConfigError for StateFile", err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // returns an error, because the process was killed

	client := newClient(t, config)
	defer client.Close()
	var waits *ratelimited.WaitError
	if _, err := start(t.Context(), client, ratelimited.WithTokenEstimate(450), ratelimited.WithMaxWait(time.Second)); !errors.As(err, &waits) || !errors.Is(err, ratelimited.ErrWouldWait) {
		t.Errorf("the call of the next client returns %v, want ErrWouldWait", err)
	}
	if stats := e.Stats().Models["m"]; stats.Admitted != 2 || stats.Refused() != 0 {
		t.Errorf("the server admitted %d requests and rejected %d, want 2 and 0", stats.Admitted, stats.Refused())
	}
}
