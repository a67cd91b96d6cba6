package ratelimited_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/memnet"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// runCallers runs callers that make calls without a break for the given time.
func runCallers(t *testing.T, client *ratelimited.Client, callers int, d time.Duration) {
	ctx, cancel := context.WithCancel(t.Context()) // with a deadline, calls would fail early
	time.AfterFunc(d, cancel)
	ratelimited.Gather(ctx, make([]struct{}, callers), func(ctx context.Context, _ struct{}) (struct{}, error) {
		for ctx.Err() == nil {
			_, _ = start(ctx, client) // calls fail when the time is over
		}
		return struct{}{}, nil
	})
}

// A process under load ends by a shutdown or is killed, and a second process starts. The server must not reject
// any request of the second process, unless the first process had too little time to learn the limits. Without a
// state file, the server rejects some.
func TestRestartUnderLoad(t *testing.T) {
	loads := map[string]struct {
		rps    float64
		tpm    int
		tokens int // used by each call
		config ratelimited.Config
	}{
		"requests":              {5, 1_000_000, 100, ratelimited.Config{RequestsPerSecond: 5, TokensPerMinute: 1_000_000}},
		"few requests":          {0.08, 1_000_000, 100, ratelimited.Config{RequestsPerSecond: 0.08, TokensPerMinute: 1_000_000}},
		"tokens":                {20, 60_000, 400, ratelimited.Config{RequestsPerSecond: 20, TokensPerMinute: 60_000}},
		"tokens of large calls": {20, 60_000, 6000, ratelimited.Config{RequestsPerSecond: 20, TokensPerMinute: 60_000}},
		"tokens of a model":     {20, 60_000, 400, ratelimited.Config{RequestsPerSecond: 20, TokensPerMinute: 600_000}},
		"learned limits":        {5, 60_000, 400, ratelimited.Config{LearnLimits: true}},
	}
	for name, load := range loads {
		for _, mode := range []emulator.Mode{emulator.TokenBucket, emulator.FixedWindow, emulator.SlidingWindow} {
			for _, end := range []string{"shutdown", "killed", "killed at once", "without a file"} {
				if end == "without a file" && (name != "tokens" || mode == emulator.TokenBucket) {
					continue
				}
				t.Run(fmt.Sprintf("%s/%s/%v", name, end, mode), func(t *testing.T) {
					dir := t.TempDir()
					synctest.Test(t, func(t *testing.T) {
						e := emulator.New(emulator.Config{
							RequestsPerSecond: load.rps, TokensPerMinute: load.tpm, Mode: mode, Latency: time.Second, LatencySpread: 300 * time.Millisecond,
							Model: func(context.Context, emulator.Prompt) emulator.Reply {
								return emulator.Reply{Text: "Hi.", Usage: &generated.ConversationUsageInfo{PromptTokens: 10, CompletionTokens: load.tokens - 10, TotalTokens: load.tokens}}
							},
						})
						server := memnet.Start(checked(t, func(w http.ResponseWriter, r *http.Request) { time.Sleep(20 * time.Millisecond); e.ServeHTTP(w, r) }))
						defer server.Close()
						config := load.config
						config.APIKey, config.BaseURL, config.HTTPClient = secretKey, server.URL(), server.Client()
						config.StateFile = filepath.Join(dir, "state")
						if end == "without a file" {
							config.StateFile = ""
						}
						runs := 70300 * time.Millisecond
						if end == "killed at once" {
							runs = 2700 * time.Millisecond
						}

						first := newClient(t, config)
						runCallers(t, first, 40, runs)
						if strings.HasPrefix(end, "killed") { // the second process uses a copy of the file as it is now
							contents, err := os.ReadFile(config.StateFile)
							if err != nil {
								t.Fatal(err)
							}
							config.StateFile += "-2"
							if err := os.WriteFile(config.StateFile, contents, 0o600); err != nil {
								t.Fatal(err)
							}
						}
						if err := first.Shutdown(t.Context()); err != nil {
							t.Error(err)
						}
						before := e.Stats().Models["m"]
						time.Sleep(500 * time.Millisecond)

						second := newClient(t, config)
						runCallers(t, second, 40, time.Minute)
						second.Close()
						time.Sleep(time.Minute) // the emulator completes cancelled requests
						after := e.Stats().Models["m"]
						rejected := after.Refused() - before.Refused()
						switch {
						case end == "without a file":
							if rejected == 0 {
								t.Error("the emulator rejected no request without a file, so this test proves nothing")
							}
							return
						case name == "learned limits" && end == "killed at once":
							return
						case rejected > 0:
							t.Errorf("the emulator rejected %d requests after the restart, want 0", rejected)
						}
						allowed := min(float64(load.tpm)/60, load.rps*float64(load.tokens)) * (runs + time.Minute).Seconds()
						if share := float64(after.Admitted*load.tokens) / allowed; share < 0.9 { // the emulator does not charge cancelled calls
							t.Errorf("both processes together used %.2f of the limit, want at least 0.9", share)
						}
					})
				})
			}
		}
	}
}

// stateConfig returns the configuration of a client with a state file. The client does not send requests.
func stateConfig(path string, logs *strings.Builder) ratelimited.Config {
	return ratelimited.Config{
		APIKey: secretKey, BaseURL: "http://127.0.0.1:1", StateFile: path,
		Logger: slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
}

// The client ignores an invalid state file, logs a warning, and replaces the file.
func TestInvalidStateFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	var ignored strings.Builder
	newClient(t, stateConfig(path, &ignored)).Close()
	valid, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := func(old, replacement string) string {
		text := strings.Replace(string(valid), old, replacement, 1)
		if text == string(valid) {
			t.Fatalf("%s does not contain %s", valid, old)
		}
		return text
	}
	for name, c := range map[string]struct{ text, want string }{
		"empty":             {"", "unexpected end"},
		"not JSON":          {"rates: 5", "invalid character"},
		"an array":          {"[1]", "cannot unmarshal"},
		"truncated":         {string(valid[:len(valid)/2]), "unexpected end"},
		"changed":           {changed(`"tokens":500000`, `"tokens":400000`), "checksum"},
		"zeros":             {string(make([]byte, 4096)), "invalid character"},
		"newer":             {changed(`{"version":1`, `{"version":2`), "version is 2: must be 1"},
		"older":             {changed(`{"version":1`, `{"version":0`), "version is 0: must be 1"},
		"of another server": {withChecksum(t, changed("127.0.0.1:1", "127.0.0.1:2")), "belongs to another server: http://127.0.0.1:2"},
		"newer limits":      {withChecksum(t, changed(`"limits":{"version":1`, `"limits":{"version":2`)), "version must be 1, got 2"},
		"invalid limits":    {withChecksum(t, changed(`"TokensPerMinute":500000`, `"TokensPerMinute":-1`)), "TokensPerMinute"},
		"invalid models":    {withChecksum(t, changed(`"models":{}`, `"models":{"m":{"replies":[-1]}}`)), "replies: must be above 0, got [-1]"},
		"a null model":      {withChecksum(t, changed(`"models":{}`, `"models":{"m":null}`)), ""},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			var logs strings.Builder
			client := newClient(t, stateConfig(path, &logs))
			if s := snapshot(client); s.AvailableTokens != 500_000 || s.AvailableRequests != 1 {
				t.Errorf("the client starts with %v, want full buckets", s)
			}
			client.Close()
			if copied, err := os.ReadFile(path + ".unread"); c.want != "" && (err != nil || string(copied) != c.text) {
				t.Errorf("the copy of the invalid file contains %q, %v", copied, err)
			}
			if record := logs.String(); c.want == "" && record != "" || !strings.Contains(record, c.want) || c.want != "" && !strings.Contains(record, "the state file is ignored") {
				t.Errorf("the log is %q, want it to contain %q", record, c.want)
			}
			logs.Reset()
			newClient(t, stateConfig(path, &logs)).Close()
			if logs.Len() > 0 {
				t.Errorf("the next client logs %s", logs.String())
			}
		})
	}
}

// withChecksum returns the text of a state file with a correct checksum.
func withChecksum(t *testing.T, text string) string {
	t.Helper()
	var file struct {
		Version int             `json:"version"`
		Sum     string          `json:"sum"`
		Content json.RawMessage `json:"content"`
	}
	if err := json.Unmarshal([]byte(text), &file); err != nil {
		t.Fatal(err)
	}
	file.Sum = fmt.Sprintf("%x", sha256.Sum256(file.Content))
	result, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(result)
}

// New fails if another client uses the state file, or if the file cannot be written.
func TestUnusableStateFile(t *testing.T) {
	dir := t.TempDir()
	var logs strings.Builder
	path := filepath.Join(dir, "new", "state")
	first := newClient(t, stateConfig(path, &logs))
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		path:                                "must not be in use by another client",
		dir:                                 "not a regular file",
		filepath.Join(dir, "file", "state"): "must be a writable file",
		"a\x00b":                            "must be a writable file",
	} {
		_, err := ratelimited.New(stateConfig(path, &logs))
		var invalid *ratelimited.ConfigError
		if !errors.As(err, &invalid) || invalid.Field != "StateFile" || invalid.Value != path || !strings.Contains(invalid.Rule, want) {
			t.Errorf("the error for %q is %v, want a ConfigError with the rule %q", path, err, want)
		}
	}
	first.Close()
	first.Close()
	newClient(t, stateConfig(path, &logs)).Close()
	if logs.Len() > 0 {
		t.Error(logs.String())
	}
}

// When Close returns, the state file is unlocked, even if another goroutine has closed the client at the same time.
func TestStateFileClosedTwiceAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	var logs strings.Builder
	for range 100 {
		client := newClient(t, stateConfig(path, &logs))
		var closed sync.WaitGroup
		begun := make(chan struct{})
		closed.Go(func() {
			close(begun)
			client.Close()
		})
		<-begun
		if err := client.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		next, err := ratelimited.New(stateConfig(path, &logs))
		closed.Wait()
		if err != nil {
			t.Fatal(err)
		}
		next.Close()
	}
	if logs.Len() > 0 {
		t.Error(logs.String())
	}
}

// The state file contains the limits from the last response, even if no further call follows.
func TestStateFileContainsTheLastResponse(t *testing.T) {
	config := ratelimited.Config{StateFile: filepath.Join(t.TempDir(), "state")}
	config.Observer = func(ctx context.Context, _ string) (context.Context, func(ratelimited.CallEvent)) {
		return ctx, func(ratelimited.CallEvent) { time.Sleep(2 * time.Second) }
	}
	limit := withHeader(ok, "X-Ratelimit-Limit-Tokens-Minute", "20000", "X-Ratelimit-Remaining-Tokens-Minute", "19000")
	runWithHandler(t, config, limit, func(t *testing.T, client *ratelimited.Client) {
		if _, err := start(t.Context(), client); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		text, err := os.ReadFile(config.StateFile) // before Close, as if the process were killed now
		if err != nil || !strings.Contains(string(text), `"named":20000`) {
			t.Errorf("%v: %s", err, text)
		}
		client.Close()
	})
}

// If the state file cannot be written, calls continue, and the client logs one warning.
func TestStateFileThatCannotBeWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dir")
	var logs strings.Builder
	config := stateConfig(filepath.Join(dir, "state"), &logs)
	config.RequestsPerSecond = 1
	runWithHandler(t, config, ok, func(t *testing.T, client *ratelimited.Client) {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			if _, err := start(t.Context(), client); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(2 * time.Second)
		client.Close()
		if n := strings.Count(logs.String(), "the state file cannot be written"); n != 1 {
			t.Errorf("%d warnings, want 1: %s", n, logs.String())
		}
	})
}

// The state file contains learned limits and estimates, but neither the key nor text of prompts and responses.
// With UPDATE_FIXTURES=1, the test writes the file as the fixture of the current version.
func TestStateFileContents(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	config := ratelimited.Config{RequestsPerSecond: 20, TokensPerMinute: 120_000, StateFile: path}
	limit := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Ratelimit-Limit-Tokens-Minute", "20000")
		w.Header().Set("X-Ratelimit-Remaining-Tokens-Minute", "19000")
		writeJSON(w, 200, strings.Replace(responseJSON("secret words", 400), `"prompt_tokens":400,"completion_tokens":0`, `"prompt_tokens":10,"completion_tokens":390`, 1))
	}
	runWithHandler(t, config, limit, func(t *testing.T, client *ratelimited.Client) {
		callRepeatedly(t, client, 2, 10*time.Second)
		time.Sleep(2 * time.Second)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{secretKey, "secret words", "Hello!", "conv_1"} {
			if strings.Contains(string(text), secret) {
				t.Errorf("the file contains %q: %s", secret, text)
			}
		}
		client.Close()
		if os.Getenv("UPDATE_FIXTURES") != "" {
			fixture := withChecksum(t, strings.Replace(string(text), `"host":"http://127.0.0.1"`, `"host":"https://api.mistral.ai"`, 1))
			if err := os.WriteFile(filepath.Join("testdata", "state-1.json"), []byte(fixture+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	})
	runWithHandler(t, config, limit, func(t *testing.T, client *ratelimited.Client) {
		defer client.Close()
		if s := client.Snapshot()["m"]; s.Limit.TokensPerMinute != 20_000 || s.TokensFrom != limiter.FromHeaders {
			t.Errorf("the limit of the model is %v from %s, want 20,000 tokens from the header", s.Limit, s.TokensFrom)
		}
		future := ratelimited.Async(func() (*generated.ConversationResponse, error) { return start(t.Context(), client) })
		for range 100 {
			synctest.Wait()
			if s := client.Snapshot()["m"]; s.InFlight == 1 {
				if s.HeldTokens < 390 || s.HeldTokens > 420 {
					t.Errorf("the estimate of the first call is %d tokens, want 390 to 420", s.HeldTokens)
				}
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if _, err := future.Await(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// The client reads state files of each version.
func TestStateFileOfEachVersion(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "state-1.json"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	var logs strings.Builder
	config := stateConfig(path, &logs)
	config.BaseURL, config.RequestsPerSecond, config.TokensPerMinute = "", 20, 120_000
	client := newClient(t, config)
	defer client.Close()
	if s := client.Snapshot()["m"]; s.Limit.TokensPerMinute != 20_000 || logs.Len() > 0 {
		t.Errorf("the limit of the model is %v, want 20,000 tokens; the log is %q", s.Limit, logs.String())
	}
}

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
