package ratelimited_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
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

// process runs a program for the given time: callers who call all the time.
func process(t *testing.T, client *ratelimited.Client, callers int, d time.Duration) {
	ctx, cancel := context.WithCancel(t.Context()) // a deadline would keep calls from starting
	time.AfterFunc(d, cancel)
	ratelimited.Gather(ctx, make([]struct{}, callers), func(ctx context.Context, _ struct{}) (struct{}, error) {
		for ctx.Err() == nil {
			_, _ = start(ctx, client) // the end of the process ends calls
		}
		return struct{}{}, nil
	})
}

// A process under load ends, by a shutdown or killed at any time, and another one begins. No request of the
// second one is refused, but for those by which it learns limits that the first had no time to learn. Without a file
// some are.
func TestRestartUnderLoad(t *testing.T) {
	loads := map[string]struct {
		rps    float64
		tpm    int
		tokens int // of a call
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
						process(t, first, 40, runs)
						if strings.HasPrefix(end, "killed") { // what is in the file now is all that is left
							left, err := os.ReadFile(config.StateFile)
							if err != nil {
								t.Fatal(err)
							}
							config.StateFile += "-2"
							if err := os.WriteFile(config.StateFile, left, 0o600); err != nil {
								t.Fatal(err)
							}
						}
						if err := first.Shutdown(t.Context()); err != nil {
							t.Error(err)
						}
						before := e.Stats().Models["m"]
						time.Sleep(500 * time.Millisecond)

						second := newClient(t, config)
						process(t, second, 40, time.Minute)
						second.Close()
						time.Sleep(time.Minute) // requests that were given up come to their ends
						after := e.Stats().Models["m"]
						refused := after.Refused() - before.Refused()
						switch {
						case end == "without a file":
							if refused == 0 {
								t.Error("no request is refused without a file: this test shows nothing")
							}
							return
						case name == "learned limits" && end == "killed at once":
							return
						case refused > 0:
							t.Errorf("%d requests are refused after the restart", refused)
						}
						allowed := min(float64(load.tpm)/60, load.rps*float64(load.tokens)) * (runs + time.Minute).Seconds()
						if share := float64(after.Admitted*load.tokens) / allowed; share < 0.9 { // calls that are cut off are not charged
							t.Errorf("both processes together use %.2f of the limit", share)
						}
					})
				})
			}
		}
	}
}

// stateConfig is that of a client with a state file, which is never sent a request.
func stateConfig(path string, logs *strings.Builder) ratelimited.Config {
	return ratelimited.Config{
		APIKey: secretKey, BaseURL: "http://127.0.0.1:1", StateFile: path,
		Logger: slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
}

// A file that cannot be read is ignored with a record, and replaced.
func TestStateFileThatCannotBeRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	var none strings.Builder
	newClient(t, stateConfig(path, &none)).Close()
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := func(old, replacement string) string {
		text := strings.Replace(string(good), old, replacement, 1)
		if text == string(good) {
			t.Fatalf("%s has no %s", good, old)
		}
		return text
	}
	for name, c := range map[string]struct{ text, want string }{
		"empty":                 {"", "unexpected end"},
		"not JSON":              {"rates: 5", "invalid character"},
		"of another kind":       {"[1]", "cannot unmarshal"},
		"truncated":             {string(good[:len(good)/2]), "unexpected end"},
		"changed":               {changed(`"tokens":500000`, `"tokens":400000`), "checksum"},
		"zeros":                 {string(make([]byte, 4096)), "invalid character"},
		"newer":                 {changed(`{"version":1`, `{"version":2`), "version is 2: must be 1"},
		"older":                 {changed(`{"version":1`, `{"version":0`), "version is 0: must be 1"},
		"of another server":     {sealed(t, changed("127.0.0.1:1", "127.0.0.1:2")), "of another server: http://127.0.0.1:2"},
		"newer limits":          {sealed(t, changed(`"limits":{"version":1`, `"limits":{"version":2`)), "version must be 1, got 2"},
		"limits that cannot be": {sealed(t, changed(`"TokensPerMinute":500000`, `"TokensPerMinute":-1`)), "TokensPerMinute"},
		"models that cannot be": {sealed(t, changed(`"models":{}`, `"models":{"m":{"replies":[-1]}}`)), "replies are [-1]"},
		"no models":             {sealed(t, changed(`"models":{}`, `"models":{"m":null}`)), ""},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			var logs strings.Builder
			client := newClient(t, stateConfig(path, &logs))
			if s := snapshot(client); s.AvailableTokens != 500_000 || s.AvailableRequests != 1 {
				t.Errorf("the client begins with %v", s)
			}
			client.Close()
			if aside, err := os.ReadFile(path + ".unread"); c.want != "" && (err != nil || string(aside) != c.text) {
				t.Errorf("the file that is set aside has %q, %v", aside, err)
			}
			if record := logs.String(); c.want == "" && record != "" || !strings.Contains(record, c.want) || c.want != "" && !strings.Contains(record, "the state file is ignored") {
				t.Errorf("the record is %q, want one with %q", record, c.want)
			}
			logs.Reset()
			newClient(t, stateConfig(path, &logs)).Close()
			if logs.Len() > 0 {
				t.Errorf("the next client records %s", logs.String())
			}
		})
	}
}

// sealed returns the text of a state file with the checksum of what it has now.
func sealed(t *testing.T, text string) string {
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
	sealed, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(sealed)
}

// Two clients cannot have one file, and a file must be one that can be written.
func TestStateFileThatCannotBeUsed(t *testing.T) {
	dir := t.TempDir()
	var logs strings.Builder
	path := filepath.Join(dir, "made", "state")
	first := newClient(t, stateConfig(path, &logs))
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		path:                                "must not be in use by another client",
		dir:                                 "not a regular file",
		filepath.Join(dir, "file", "state"): "must be a file that can be written",
		"a\x00b":                            "must be a file that can be written",
	} {
		_, err := ratelimited.New(stateConfig(path, &logs))
		var invalid *ratelimited.ConfigError
		if !errors.As(err, &invalid) || invalid.Field != "StateFile" || invalid.Value != path || !strings.Contains(invalid.Rule, want) {
			t.Errorf("%q: %v, want %q", path, err, want)
		}
	}
	first.Close()
	first.Close()
	newClient(t, stateConfig(path, &logs)).Close()
	if logs.Len() > 0 {
		t.Error(logs.String())
	}
}

// When Close returns, the file is free, also if another goroutine has closed the client at the same time.
func TestStateFileClosedTwiceAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	var logs strings.Builder
	for range 100 {
		client := newClient(t, stateConfig(path, &logs))
		var closing sync.WaitGroup
		begun := make(chan struct{})
		closing.Go(func() {
			close(begun)
			client.Close()
		})
		<-begun
		if err := client.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		next, err := ratelimited.New(stateConfig(path, &logs))
		closing.Wait()
		if err != nil {
			t.Fatal(err)
		}
		next.Close()
	}
	if logs.Len() > 0 {
		t.Error(logs.String())
	}
}

// What the server says with a response is in the file although no further call follows.
func TestStateFileHasTheLastWord(t *testing.T) {
	config := ratelimited.Config{StateFile: filepath.Join(t.TempDir(), "state")}
	config.Observer = func(ctx context.Context, _ string) (context.Context, func(ratelimited.CallEvent)) {
		return ctx, func(ratelimited.CallEvent) { time.Sleep(2 * time.Second) }
	}
	limit := with(ok, "X-Ratelimit-Limit-Tokens-Minute", "20000", "X-Ratelimit-Remaining-Tokens-Minute", "19000")
	inBubble(t, config, limit, func(t *testing.T, client *ratelimited.Client) {
		if _, err := start(t.Context(), client); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		text, err := os.ReadFile(config.StateFile) // a process that is killed now leaves that
		if err != nil || !strings.Contains(string(text), `"named":20000`) {
			t.Errorf("%v: %s", err, text)
		}
		client.Close()
	})
}

// While the file cannot be written, calls go on, and one record says so.
func TestStateFileThatCannotBeWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dir")
	var logs strings.Builder
	config := stateConfig(filepath.Join(dir, "state"), &logs)
	config.RequestsPerSecond = 1
	inBubble(t, config, ok, func(t *testing.T, client *ratelimited.Client) {
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
			t.Errorf("%d records: %s", n, logs.String())
		}
	})
}

// The file has what was learned, and neither the key nor anything that was said. UPDATE_FIXTURES=1 makes it the
// fixture of the present version.
func TestStateFileOfWhatWasLearned(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	config := ratelimited.Config{RequestsPerSecond: 20, TokensPerMinute: 120_000, StateFile: path}
	limit := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Ratelimit-Limit-Tokens-Minute", "20000")
		w.Header().Set("X-Ratelimit-Remaining-Tokens-Minute", "19000")
		answer(w, 200, strings.Replace(reply("secret words", 400), `"prompt_tokens":400,"completion_tokens":0`, `"prompt_tokens":10,"completion_tokens":390`, 1))
	}
	inBubble(t, config, limit, func(t *testing.T, client *ratelimited.Client) {
		busy(t, client, 2, 10*time.Second)
		time.Sleep(2 * time.Second)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{secretKey, "secret words", "Hello!", "conv_1"} {
			if strings.Contains(string(text), secret) {
				t.Errorf("%q is in %s", secret, text)
			}
		}
		client.Close()
		if os.Getenv("UPDATE_FIXTURES") != "" {
			fixture := sealed(t, strings.Replace(string(text), `"host":"http://127.0.0.1"`, `"host":"https://api.mistral.ai"`, 1))
			if err := os.WriteFile(filepath.Join("testdata", "state-1.json"), []byte(fixture+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	})
	inBubble(t, config, limit, func(t *testing.T, client *ratelimited.Client) {
		defer client.Close()
		if s := client.Snapshot()["m"]; s.Limit.TokensPerMinute != 20_000 || s.TokensFrom != limiter.FromHeaders {
			t.Errorf("limit of the model: %v from %s", s.Limit, s.TokensFrom)
		}
		future := ratelimited.Async(func() (*generated.ConversationResponse, error) { return start(t.Context(), client) })
		for range 100 {
			synctest.Wait()
			if s := client.Snapshot()["m"]; s.InFlight == 1 {
				if s.HeldTokens < 390 || s.HeldTokens > 420 {
					t.Errorf("the first call is expected to use %d tokens", s.HeldTokens)
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

// Files of each version are read.
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
		t.Errorf("limit of the model: %v; %s", s.Limit, logs.String())
	}
}
