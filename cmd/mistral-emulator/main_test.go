package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
)

// command is a running command.
type command struct {
	t    *testing.T
	url  string
	stop func() string // interrupts the command and returns the output after its first line
}

func serve(t *testing.T, args ...string) command {
	t.Helper()
	ctx, interrupt := context.WithCancel(t.Context())
	out, stdout := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, append([]string{"-addr", "127.0.0.1:0"}, args...), stdout, io.Discard)
		_ = stdout.Close()
	}()
	lines := bufio.NewReader(out)
	first, err := lines.ReadString('\n')
	url, found := strings.CutPrefix(strings.TrimSpace(first), "Listening on ")
	if err != nil || !found {
		t.Fatalf("the first line is %q, %v", first, err)
	}
	rest := make(chan string, 1)
	go func() {
		text, _ := io.ReadAll(lines)
		rest <- string(text)
	}()
	return command{t: t, url: url, stop: func() string {
		interrupt()
		if err := <-ended; err != nil {
			t.Errorf("the command returned %v", err)
		}
		return <-rest
	}}
}

func (c command) send(method, path, body string) (int, string) {
	c.t.Helper()
	request, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer k")
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return response.StatusCode, string(data)
}

func TestServesUntilInterrupted(t *testing.T) {
	t.Parallel()
	c := serve(t, "-key", "k", "-rps", "100", "-mode", "sliding-window")
	if status, body := c.send(http.MethodPost, "/v1/conversations", `{"model":"m","inputs":"Count to 3"}`); status != http.StatusOK || !strings.Contains(body, "1 2 3") {
		t.Errorf("response is %d %s", status, body)
	}
	if status, body := c.send(http.MethodGet, "/_emulator/state", ""); status != http.StatusOK || !strings.Contains(body, `"conversations":1`) {
		t.Errorf("state is %d %s", status, body)
	}
	if text := c.stop(); !strings.Contains(text, "curl "+c.url) || !strings.Contains(text, "Stopping") || !strings.Contains(text, c.url+"/_emulator/") {
		t.Errorf("output is %q", text)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	c := serve(t, "-limit", "m=0.001/0", "-limit", "n=0/100", "-tool-limit", "web_search=1/2")
	for _, want := range []int{http.StatusOK, http.StatusTooManyRequests} {
		if status, body := c.send(http.MethodPost, "/v1/conversations", `{"model":"m","inputs":"Hello"}`); status != want {
			t.Errorf("model m: %d %s, want %d", status, body, want)
		}
		if status, body := c.send(http.MethodPost, "/v1/conversations", `{"model":"n","inputs":"Search for it","tools":[{"type":"web_search"}]}`); status != want {
			t.Errorf("model n: %d %s, want %d", status, body, want)
		}
	}
	c.stop()
}

func TestScriptAndFaults(t *testing.T) {
	t.Parallel()
	script := file(t, "script.yaml", "rules:\n- match: ^ping\n  reply: pong\n")
	faults := file(t, "faults.json", `[{"kind": "503-text", "times": 1}, {"kind": "500", "probability": 1e-9}]`)
	c := serve(t, "-script", script, "-faults", faults, "-seed", "7", "-control=false")
	for _, want := range []string{"no healthy upstream", `"content":"pong"`} {
		if _, body := c.send(http.MethodPost, "/v1/conversations", `{"model":"m","inputs":"ping"}`); !strings.Contains(body, want) {
			t.Errorf("response is %s, want %s", body, want)
		}
	}
	if status, body := c.send(http.MethodGet, "/_emulator/state", ""); status != http.StatusNotFound {
		t.Errorf("state is %d %s, want 404", status, body)
	}
	if text := c.stop(); strings.Contains(text, "/_emulator/") {
		t.Errorf("output is %q", text)
	}
}

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// help returns the output of -help.
func help(t *testing.T) string {
	t.Helper()
	var stdout, stderr strings.Builder
	if err := run(t.Context(), []string{"-help"}, &stdout, &stderr); !errors.Is(err, flag.ErrHelp) || stderr.Len() > 0 {
		t.Fatalf("-help: %v, %q", err, stderr.String())
	}
	return stdout.String()
}

func TestHelpListsAllKindsOfFaults(t *testing.T) {
	t.Parallel()
	words := strings.Fields(help(t))
	for _, kind := range emulator.FaultKinds() {
		if !slices.Contains(words, string(kind)) {
			t.Errorf("the help does not list the fault %s", kind)
		}
	}
}

func TestControlRequestsOfHelpSucceed(t *testing.T) {
	t.Parallel()
	c := serve(t, "-key", "k")
	requests := regexp.MustCompile(`(?m)^  ([A-Z]+) +(/_emulator/[a-z]+)`).FindAllStringSubmatch(help(t), -1)
	if len(requests) != 6 {
		t.Errorf("the help lists %d requests, want 6", len(requests))
	}
	for _, request := range requests {
		if status, body := c.send(request[1], request[2], "[]"); status/100 != 2 {
			t.Errorf("%s %s: %d %s", request[1], request[2], status, body)
		}
	}
	c.stop()
}

// TestExamplesOfHelpRun checks that the examples use every flag, and that each example
// runs with the files that the help shows.
func TestExamplesOfHelpRun(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	files := strings.NewReplacer("replies.yaml", file(t, "replies.yaml", sampleScript), "faults.yaml", file(t, "faults.yaml", sampleFaults))
	for line := range strings.Lines(examples) {
		command, ok := strings.CutPrefix(line, "  mistral-emulator")
		if !ok {
			continue
		}
		command, _, _ = strings.Cut(command, "  ")
		args := strings.Fields(files.Replace(command))
		for _, arg := range args {
			name, _, _ := strings.Cut(arg, "=")
			used[name] = true
		}
		serve(t, append(args, "-addr", "127.0.0.1:0")...).stop()
	}
	for _, match := range regexp.MustCompile(`(?m)^  (-[a-z-]+)`).FindAllStringSubmatch(help(t), -1) {
		if !used[match[1]] {
			t.Errorf("no example uses %s", match[1])
		}
	}
	if !used["-faults"] || len(used) < 10 {
		t.Errorf("the examples use %v", used)
	}
}

func TestBadFlags(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	taken := listener.Addr().String()
	bad := file(t, "bad.yaml", "rules: [{match: x}]")
	for _, test := range []struct {
		args []string
		err  error
		want string
	}{
		{[]string{"-nonsense"}, errUsage, "mistral-emulator: unknown flag -nonsense\nRun mistral-emulator -help"},
		{[]string{"-latncy", "1s"}, errUsage, `unknown flag -latncy (did you mean "-latency"?)`},
		{[]string{"-rps", "x"}, errUsage, `mistral-emulator: -rps: must be a positive number, got "x"`},
		{[]string{"-rps", "-1"}, errUsage, `-rps: must be a positive number, got "-1"`},
		{[]string{"-rps", "NaN"}, errUsage, `-rps: must be a positive number, got "NaN"`},
		{[]string{"-tpm", "1.5"}, errUsage, `-tpm: must be a positive whole number, got "1.5"`},
		{[]string{"-seed", "-7"}, errUsage, `-seed: must be a whole number of at least 0, got "-7"`},
		{[]string{"-latency", "fast"}, errUsage, `-latency: must be a time such as 300ms or 2s, got "fast"`},
		{[]string{"-control=maybe"}, errUsage, `-control: must be true or false, got "maybe"`},
		{[]string{"-mode", "guess"}, errUsage, `-mode: must be token-bucket, fixed-window or sliding-window, got "guess"`},
		{[]string{"-rps"}, errUsage, "-rps: must have a value"},
		{[]string{"-limit", "m=fast/1"}, errUsage, `-limit: must have requests per second and a whole number of tokens per minute, such as model=0.08/50000, got "m=fast/1"`},
		{[]string{"-limit", "1/1"}, errUsage, "must be a name"},
		{[]string{"-tool-limit", "web_search=1"}, errUsage, "must be a name"},
		{[]string{"-tool-limit", "web_search=-1/1"}, errUsage, `-tool-limit: must have two positive whole numbers, such as web_search=5/100, got "web_search=-1/1"`},
		{[]string{"extra"}, errUsage, `unexpected argument "extra"`},
		{[]string{"-latency-spread", "1s"}, nil, "LatencySpread is 1s: must be from 0 to Latency"},
		{[]string{"-addr", taken}, nil, "address already in use; to use a free port, set -addr 127.0.0.1:0"},
		{[]string{"-addr", "nowhere:at:all"}, nil, "address"},
		{[]string{"-script", bad}, nil, "bad.yaml: script: rule 1: must have a reply"},
		{[]string{"-faults", bad}, nil, "bad.yaml: faults: must be a list, got a mapping (line 1)"},
		{[]string{"-script", bad + "x"}, os.ErrNotExist, "bad.yamlx"},
		{[]string{"-faults", bad + "x"}, os.ErrNotExist, "bad.yamlx"},
	} {
		var stderr strings.Builder
		err := run(t.Context(), test.args, io.Discard, &stderr)
		if err == nil || test.err != nil && !errors.Is(err, test.err) || !strings.Contains(stderr.String()+err.Error(), test.want) {
			t.Errorf("%v: %v, %q; want %q", test.args, err, stderr.String(), test.want)
		}
	}
}

func TestAllowedHostsAndOrigins(t *testing.T) {
	t.Parallel()
	c := serve(t, "-allow-host", "a.test", "-allow-host", "b.test", "-allow-origin", "http://localhost:3000")
	for host, want := range map[string]int{"a.test:1": http.StatusOK, "b.test": http.StatusOK, "c.test": http.StatusForbidden} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.url+"/_emulator/state", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = host
		request.Header.Set("Origin", "http://localhost:3000")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("Host %s: %d, want %d", host, response.StatusCode, want)
		}
	}
	c.stop()
}
