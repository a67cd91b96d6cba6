package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/bulk"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// A testDir is the directory in which a test runs the command.
type testDir struct {
	t    *testing.T
	path string
}

func newTestDir(t *testing.T) testDir { return testDir{t, t.TempDir()} }

func (f testDir) file(name, text string) string {
	f.t.Helper()
	path := filepath.Join(f.path, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
	return path
}

func (f testDir) rows(n int) string {
	f.t.Helper()
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "{\"id\": \"row-%d\", \"prompt\": \"Say word %d\"}\n", i+1, i+1)
	}
	return f.file("in.jsonl", b.String())
}

// A syncBuffer is a buffer that is safe for concurrent use.
type syncBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Buffer.Write(p)
}

// mistralBulk runs the command and returns its exit status and its output.
func (f testDir) mistralBulk(input string, args ...string) (status int, out, err string) {
	f.t.Helper()
	var stdout, stderr syncBuffer
	if !slices.Contains(args, "-state") {
		args = append([]string{"-state", "none"}, args...) // do not use the user's state file
	}
	status = run(args, streams{strings.NewReader(input), &stdout, &stderr}, make(chan os.Signal))
	return status, stdout.String(), stderr.String()
}

func (s *syncBuffer) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.String()
}

func (f testDir) output() string { return filepath.Join(f.path, "out.jsonl") }

func (f testDir) lines() (lines []string) {
	f.t.Helper()
	text, err := os.ReadFile(f.output())
	if err != nil {
		f.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		lines = append(lines, line)
	}
	return lines
}

// The command executes a job in two parts, with a plan before each.
func TestJob(t *testing.T) {
	t.Parallel()
	f := newTestDir(t)
	base := []string{"-emulator", "-rps", "500", "-tpm", "1000000", "-model", "mistral-small-latest", "-o", f.output(), f.rows(20)}
	step := func(want int, out, err string, args ...string) {
		t.Helper()
		status, gotOut, gotErr := f.mistralBulk("", append(args, base...)...)
		if status != want || !regexp.MustCompile(out).MatchString(gotOut) || !regexp.MustCompile(err).MatchString(gotErr) {
			t.Errorf("%v: status %d, %s, %s; want %d, %s, %s", args, status, gotOut, gotErr, want, out, err)
		}
	}
	step(statusDone, `^20 rows: 20 to send\nTokens: about \d+ \(.*\), 200 of them in prompts; the length of responses is not known yet\nDuration: .*, limited by requests\n$`, "^$", "-plan")
	if _, err := os.Stat(f.output()); err == nil {
		t.Error("a plan created the output")
	}
	step(statusStopped, `^8 done, 0 failed, 1 read but not sent, in .*\nStopped before the end \(max rows\); run the same command again to continue\n$`, "^20 rows|^8 rows", "-max-rows", "8")
	step(statusDone, `^20 rows: 12 to send, 8 done\n.*based on 8 responses`, "^$", "-plan")
	step(statusDone, `^12 done, 0 failed, 8 already done, in `, "")
	if n := len(f.lines()); n != 20 {
		t.Errorf("the output has %d lines, want 20", n)
	}
	f.file("in.jsonl", `{"id": "row-1", "prompt": "Say word 1"}`+"\nbroken\n")
	step(statusSomeFailed, `(?s)^0 done, 1 failed, 1 already done, in .*The first one is of line \d+: .+`, "")
}

// The flags set the options of the requests and the content of the results.
func TestOptions(t *testing.T) {
	t.Setenv("MISTRAL_API_KEY", "a-key-of-the-test")
	server, err := emulator.Start(emulator.Config{Control: true, Model: func(_ context.Context, p emulator.Prompt) emulator.Reply {
		if p.Args.ResponseFormat.JSONSchema.Name != "" {
			return emulator.Reply{Text: `{"word": "hi"}`}
		}
		return emulator.Reply{Text: "hi"}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	f := newTestDir(t)
	schema := f.file("schema.json", `{"type":"object","properties":{"word":{"type":"string"}},"required":["word"],"additionalProperties":false}`)
	rules := f.file("rules.txt", "Be brief.")
	prompts := f.file("in.txt", "One\n\nTwo\n")
	for _, test := range []struct {
		input string // on the standard input
		args  []string
		body  string // in the request
		line  string // in the output
	}{
		{"", []string{"-instructions", "@" + rules, "-max-tokens", "7", "-temperature", "0", "-body", "text", prompts},
			`"completion_args":{"max_tokens":7,"temperature":0},"inputs":"Two","instructions":"Be brief."`, `"custom_id":"3",.*"body":"hi"`},
		{"", []string{"-schema", schema, "-store", prompts}, `"schema":{"type":"object".*"store":true`, `"body":{"word":"hi"}`},
		{"", []string{"-schema", schema, "-body", "response", prompts}, `"store":false`, `"body":{"conversation_id"`},
		{"Three", []string{"-format", "lines", "-body", "text", "-"}, `"inputs":"Three"`, `"custom_id":"1"`},
		{`{"id":7,"prompt":"Four"}`, []string{"-format", "jsonl", "-"}, `"inputs":"Four"`, `"custom_id":"7"`},
	} {
		_ = os.Remove(f.output())
		server.Reset()
		status, out, errors := f.mistralBulk(test.input, append([]string{"-base-url", server.URL(), "-rps", "1000", "-tpm", "1000000000", "-model", "m", "-o", f.output()}, test.args...)...)
		if status != statusDone {
			t.Errorf("%v: status %d, %s, %s", test.args, status, out, errors)
		}
		var bodies strings.Builder
		for _, request := range server.Requests() {
			bodies.WriteString(request.Body)
		}
		if lines := strings.Join(f.lines(), ""); !regexp.MustCompile(test.body).MatchString(bodies.String()) || !regexp.MustCompile(test.line).MatchString(lines) {
			t.Errorf("%v: sent %s and wrote %s", test.args, bodies.String(), lines)
		}
	}
}

// A run continues with the state of the previous one. By default each API key has its own state file.
func TestState(t *testing.T) {
	server, err := emulator.Start(emulator.Config{RequestsPerSecond: 20, TokensPerMinute: 30_000})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	t.Setenv("MISTRAL_API_KEY", "a-secret-key")
	f := newTestDir(t)
	state := filepath.Join(f.path, "cache", "state.json")
	args := []string{"-state", state, "-rps", "20", "-tpm", "60000", "-base-url", server.URL(), "-model", "m"}
	if status, _, message := f.mistralBulk("", append(args, "-o", f.output(), f.rows(3))...); status != 0 {
		t.Fatalf("status %d: %s", status, message)
	}
	text, err := os.ReadFile(state)
	if err != nil || !strings.Contains(string(text), `"named":30000`) || strings.Contains(string(text), "a-secret-key") {
		t.Errorf("the state is %s, %v", text, err)
	}
	if status, _, message := f.mistralBulk("", append(args, "-state", f.path, "-o", f.output(), f.rows(3))...); status != statusError || !strings.Contains(message, "not a regular file") {
		t.Errorf("status %d: %s", status, message)
	}

	client, err := ratelimited.New(ratelimited.Config{StateFile: state})
	if err != nil {
		t.Fatal(err)
	}
	if status, _, message := f.mistralBulk("", append(args, "-o", f.output(), f.rows(3))...); status != statusError || !strings.HasSuffix(message, "; set another file, or none, with -state\n") {
		t.Errorf("while another client uses the file: status %d: %s", status, message)
	}
	client.Close()

	names := map[string]bool{}
	for _, c := range []ratelimited.Config{{}, {APIKey: "another-key"}, {BaseURL: "http://127.0.0.1:1"}, {APIKey: "a-secret-key"}} {
		name, err := stateFile(c)
		if err != nil || !strings.Contains(name, "mistral-bulk") || strings.Contains(name, "key") {
			t.Errorf("%q, %v", name, err)
		}
		names[name] = true
	}
	if len(names) != 3 {
		t.Errorf("the files are %v", names)
	}
}

// With -json each printed line is a JSON object.
func TestJSON(t *testing.T) {
	t.Parallel()
	f := newTestDir(t)
	status, out, errors := f.mistralBulk("", "-json", "-emulator", "-rps", "500", "-tpm", "1000000", "-model", "m", "-o", f.output(), f.rows(3))
	var events []string
	for line := range strings.Lines(out) {
		var event map[string]struct{ Rows, Done, Calls int }
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			t.Errorf("%v in %s", err, line)
		}
		for name, e := range event {
			events = append(events, fmt.Sprint(name, e))
		}
	}
	if want := []string{"plan{3 0 3}", "summary{3 3 0}"}; status != statusDone || errors != "" || !slices.Equal(events, want) {
		t.Errorf("status %d, %v, %s; want %v", status, events, errors, want)
	}
}

// After the first interrupt, the calls in flight are finished. The second interrupt cancels them.
func TestInterrupts(t *testing.T) {
	t.Setenv("MISTRAL_API_KEY", "a-key-of-the-test")
	for n, want := range map[int]struct {
		status int
		lines  int
		text   string
	}{1: {statusStopped, 1, "Stopped before the end (stopped)"}, 2: {statusError, 0, "context canceled"}} {
		called, release := make(chan struct{}), make(chan struct{})
		server, err := emulator.Start(emulator.Config{Model: func(ctx context.Context, _ emulator.Prompt) emulator.Reply {
			called <- struct{}{}
			select {
			case <-release:
			case <-ctx.Done():
			}
			return emulator.Reply{Text: "hi"}
		}})
		if err != nil {
			t.Fatal(err)
		}
		f := newTestDir(t)
		interrupts := make(chan os.Signal)
		var stdout, stderr syncBuffer
		status := make(chan int)
		go func() {
			status <- run([]string{"-base-url", server.URL(), "-state", "none", "-rps", "0.01", "-tpm", "1000000", "-model", "m", "-o", f.output(), f.rows(5)},
				streams{strings.NewReader(""), &stdout, &stderr}, interrupts)
		}()
		<-called
		for range n {
			interrupts <- os.Interrupt
		}
		if n == 1 {
			for !strings.Contains(stderr.text(), "interrupt again") {
				runtime.Gosched()
			}
			<-time.After(1500 * time.Millisecond) // the job checks for a stop every second
			close(release)
		}
		if got := <-status; got != want.status || !strings.Contains(stdout.text()+stderr.text(), want.text) || len(f.lines()) != want.lines {
			t.Errorf("%d interrupts: status %d, %d lines, %s%s", n, got, len(f.lines()), stdout.text(), stderr.text())
		}
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	}
}

// The command stops even while its input waits for data.
func TestStopWithoutInput(t *testing.T) {
	t.Parallel()
	for _, byDeadline := range []bool{false, true} {
		f := newTestDir(t)
		args := []string{"-emulator", "-state", "none", "-rps", "500", "-tpm", "1000000", "-model", "m", "-o", f.output(), "-"}
		if byDeadline {
			args = append([]string{"-deadline", "50ms"}, args...)
		}
		input, into := io.Pipe()
		t.Cleanup(func() { _ = into.Close() })
		interrupts := make(chan os.Signal)
		var stdout, stderr syncBuffer
		status := make(chan int)
		go func() { status <- run(args, streams{input, &stdout, &stderr}, interrupts) }()
		if !byDeadline {
			_, _ = io.WriteString(into, "{\"id\": \"a\", \"prompt\": \"Say a\"}\n{\"id\": \"b\",")
			interrupts <- os.Interrupt
		}
		if got := <-status; got != statusStopped {
			t.Errorf("status %d, %s%s", got, stdout.text(), stderr.text())
		}
		if len(f.lines()) > 1 {
			t.Errorf("the output has %d lines", len(f.lines()))
		}
	}
}

// An input that can be read only once, such as a named pipe, is read once.
func TestPipe(t *testing.T) {
	t.Parallel()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Close() }()
	name := fmt.Sprintf("/dev/fd/%d", reader.Fd())
	if _, err := os.Stat(name); err != nil {
		t.Skip("this system does not have ", name)
	}
	_, _ = io.WriteString(writer, "{\"id\": \"a\", \"prompt\": \"Say a\"}\n")
	_ = writer.Close()
	f := newTestDir(t)
	status, _, errors := f.mistralBulk("", "-emulator", "-rps", "500", "-tpm", "1000000", "-model", "m", "-o", f.output(), name)
	if status != statusDone || len(f.lines()) != 1 {
		t.Errorf("status %d, %d lines, %s", status, len(f.lines()), errors)
	}
}

func TestBadArguments(t *testing.T) {
	t.Setenv("MISTRAL_API_KEY", "")
	f := newTestDir(t)
	in := f.rows(1)
	for _, test := range []struct {
		args   []string
		status int
		want   string
	}{
		{nil, statusUsage, `mistral-bulk: no input: must be a file, or "-" for standard input`},
		{[]string{in}, statusUsage, "-o: must be the name of the output file"},
		{[]string{"-o", "out", in, "more"}, statusUsage, `unexpected argument "more": must be only one input`},
		{[]string{"-o", in, in}, statusUsage, "is also the input: must be another file"},
		{[]string{"-state", in, "-o", f.output(), in}, statusUsage, "in.jsonl\" is also the input: must be another file"},
		{[]string{"-state", f.path + "/./out.jsonl", "-o", f.output(), in}, statusUsage, "out.jsonl\" is also the output: must be another file"},
		{[]string{"-modell", "m", in}, statusUsage, `unknown flag -modell (did you mean "-model"?)`},
		{[]string{"-rps", "fast", in}, statusUsage, `-rps: must be a positive number, got "fast"`},
		{[]string{"-tpm", "1.5", in}, statusUsage, `-tpm: must be a positive whole number, got "1.5"`},
		{[]string{"-max-rows", "0", in}, statusUsage, `-max-rows: must be a positive whole number, got "0"`},
		{[]string{"-max-tokens", "-1", in}, statusUsage, `-max-tokens: must be a positive whole number, got "-1"`},
		{[]string{"-rps", "0", in}, statusUsage, `-rps: must be a positive number, got "0"`},
		{[]string{"-temperature", "hot", in}, statusUsage, `-temperature: must be a number of at least 0, got "hot"`},
		{[]string{"-deadline", "soon", in}, statusUsage, `-deadline: must be a positive duration such as 3h or a time such as 2026-10-31T08:00:00Z, got "soon"`},
		{[]string{"-deadline", "2020-01-01T00:00:00Z", in}, statusUsage, `-deadline: must be in the future, got "2020-01-01T00:00:00Z"`},
		{[]string{"-timeout", "0", in}, statusUsage, `-timeout: must be a duration such as 90s or 5m, got "0"`},
		{[]string{"-body", "json", in}, statusUsage, `-body: must be response, text or object, got "json"`},
		{[]string{"-body", "object", "-o", "out", in}, statusUsage, "-body: object must be used with -schema"},
		{[]string{"-format", "csv", in}, statusUsage, `-format: must be jsonl or lines, got "csv"`},
		{[]string{"-schema", "none.json", in}, statusUsage, "-schema: open none.json: no such file or directory"},
		{[]string{"-instructions", "@none.txt", in}, statusUsage, "-instructions: open none.txt"},
		{[]string{"-model", "m", "-agent", "a", "-o", "out", in}, statusUsage, "-agent: must not be set together with -model"},
		{[]string{"-emulator", "-base-url", "x", "-o", "out", in}, statusUsage, "-emulator: must not be set together with -base-url"},
		{[]string{"-o"}, statusUsage, "-o: must have a value"},
		{[]string{"-emulator", "-o", filepath.Join(f.path, "none", "out"), in}, statusError, "no such file or directory"},
		{[]string{"-emulator", "-o", f.output(), in + "x"}, statusError, "in.jsonlx: no such file or directory"},
		{[]string{"-o", f.output(), in}, statusError, "no API key: set Config.APIKey or MISTRAL_API_KEY"},
		{[]string{"-emulator", "-schema", f.file("broken.json", "{"), "-o", f.output(), in}, statusUsage, "-schema: "},
		{[]string{"-emulator", "-schema", f.file("typo.json", `{"type":"strng"}`), "-o", f.output(), in}, statusUsage, "strng"},
	} {
		status, out, errors := f.mistralBulk("", test.args...)
		if status != test.status || !strings.Contains(errors, test.want) || out != "" {
			t.Errorf("%v: status %d, %s%s; want %d, %s", test.args, status, out, errors, test.status, test.want)
		}
	}
}

// The examples of the help text are valid and use all flags.
func TestHelp(t *testing.T) {
	t.Parallel()
	f := newTestDir(t)
	status, help, errors := f.mistralBulk("", "-help")
	if status != statusDone || errors != "" {
		t.Fatalf("status %d, %s", status, errors)
	}
	files := strings.NewReplacer("rules.txt", f.file("rules.txt", "x"), "invoice.json", f.file("invoice.json", "{}"))
	used := map[string]bool{}
	for line := range strings.Lines(examples) {
		_, args, ok := strings.Cut(files.Replace(line), "mistral-bulk ")
		if !ok {
			continue
		}
		args, _, _ = strings.Cut(args, "   ")
		if _, err := parse(strings.Fields(args)); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		for _, arg := range strings.Fields(args) {
			used[arg] = true
		}
	}
	options := regexp.MustCompile(`(?m)^  (-[a-z-]+)`).FindAllStringSubmatch(help, -1)
	for _, option := range options {
		if !used[option[1]] {
			t.Errorf("no example has %s", option[1])
		}
	}
	if len(options) < 20 {
		t.Errorf("the help has %d options", len(options))
	}
}

func TestProgressText(t *testing.T) {
	t.Parallel()
	plan := &bulk.Forecast{Calls: 100, Duration: bulk.Range[time.Duration]{Expected: 2 * time.Hour}}
	p := bulk.Progress{
		Summary: bulk.Summary{Done: 10, Failed: 2, Duration: time.Minute}, InFlight: 3, Waiting: 4, RowsPerMinute: 5, TokensPerMinute: 600, TokenLimit: 1000,
		LimitedBy: "tokens", Left: 90 * time.Second,
	}
	if got, want := progressText(p, plan), "1m30s left (planned 1h59m), 2 failed, 3 in flight, 4 waiting, 5 rows/min, 600 of 1000 tokens/min, limited by tokens"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	p.Outage, p.OutageSince = "https://api: 503", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if got, want := progressText(p, plan), "waiting for the end of an outage that began at 03:04:05: https://api: 503"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
