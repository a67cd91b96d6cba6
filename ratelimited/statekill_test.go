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

// userVariable is set in the process that is killed: the address of the server and the path of the file.
const userVariable = "STATE_TEST_SERVER_AND_FILE"

// killConfig allows two calls in a minute.
func killConfig(server, path string) ratelimited.Config {
	return ratelimited.Config{
		APIKey: secretKey, BaseURL: server, RequestsPerSecond: 100, TokensPerMinute: 1000, FixedEstimates: true, StateFile: path, MaxRetries: ratelimited.NoRetries,
	}
}

// TestCallUntilKilled is the process that is killed.
func TestCallUntilKilled(t *testing.T) {
	server, path, found := strings.Cut(os.Getenv(userVariable), " ")
	if !found {
		t.Skip("a process of TestStateOfKilledProcess")
	}
	client := newClient(t, killConfig(server, path))
	encoder := json.NewEncoder(os.Stdout)
	for t.Context().Err() == nil { // the third call waits for half a minute
		if _, err := start(t.Context(), client, ratelimited.WithTokenEstimate(450)); err != nil {
			t.Fatal(err)
		}
		if err := encoder.Encode(client.Snapshot()[""].Settled); err != nil {
			t.Fatal(err)
		}
	}
}

// A process that is killed by the system leaves what it has used to the next one, which sends nothing that would be refused.
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

	user := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCallUntilKilled$")
	user.Env = append(os.Environ(), userVariable+"="+server.URL+" "+path)
	out, err := user.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := user.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	for _, want := range []string{"1\n", "2\n"} {
		if line, err := lines.ReadString('\n'); line != want {
			t.Fatalf("the process prints %q, want %q: %v", line, want, err)
		}
	}
	for _, err := os.Stat(path); err != nil; _, err = os.Stat(path) { // the first call does not wait until it is written
		time.Sleep(time.Millisecond)
		if t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
	var invalid *ratelimited.ConfigError
	if _, err := ratelimited.New(config); !errors.As(err, &invalid) || invalid.Field != "StateFile" {
		t.Errorf("while the other process uses the file: %v", err)
	}
	if err := user.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = user.Wait() // it was killed

	client := newClient(t, config)
	defer client.Close()
	var waits *ratelimited.WaitError
	if _, err := start(t.Context(), client, ratelimited.WithTokenEstimate(450), ratelimited.WithMaxWait(time.Second)); !errors.As(err, &waits) || !errors.Is(err, ratelimited.ErrWouldWait) {
		t.Errorf("error of the next process: %v", err)
	}
	if stats := e.Stats().Models["m"]; stats.Admitted != 2 || stats.Refused() != 0 {
		t.Errorf("the server has admitted %d requests and refused %d, want 2 and 0", stats.Admitted, stats.Refused())
	}
}
