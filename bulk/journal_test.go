package bulk_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/bulk"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulatortest"
)

// Wherever a crash cut off the last line, the rows before it are kept, and only the last row is
// sent again.
func TestTornLine(t *testing.T) {
	t.Parallel()
	client, server := emulatortest.New(t)
	path := output(t)
	mustRun(t, client, path, prompts(3), options)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	begin := bytes.LastIndexByte(whole[:len(whole)-1], '\n') + 1
	for _, cut := range []int{begin + 1, begin + 5, begin + 40, len(whole) - 40, len(whole) - 2} {
		before := server.Stats().Requests
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		wantSummary(t, mustRun(t, client, path, prompts(3), options), bulk.Summary{Rows: 3, Done: 1, Already: 2})
		if n := server.Stats().Requests - before; n != 1 || len(byID(t, path)) != 3 {
			t.Errorf("cut at %d of %d: %d requests, want 1", cut, len(whole), n)
		}
	}
	for name, text := range map[string][]byte{"without the line break": whole[:len(whole)-1], "complete": whole, "with an empty line": append(bytes.Clone(whole), '\n')} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		wantSummary(t, mustRun(t, client, path, prompts(3), options), bulk.Summary{Rows: 3, Already: 3})
		if got, err := os.ReadFile(path); err != nil || !bytes.HasPrefix(got, whole) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.WriteFile(path, append(whole[:begin:begin], make([]byte, 100)...), 0o600); err != nil {
		t.Fatal(err)
	}
	wantSummary(t, mustRun(t, client, path, prompts(3), options), bulk.Summary{Rows: 3, Done: 1, Already: 2})
}

// OpenJournal does not change a file that is not an output.
func TestFilesThatAreNotOutputs(t *testing.T) {
	t.Parallel()
	const mark = `"bulk":{"version":1,"line":1,"request":"00000000000000000000000000000000"}`
	for text, want := range map[string]string{
		"Dear diary":         `line 1: not written by package bulk: must be a JSON object with the property "bulk": invalid character 'D'`,
		"Dear diary,\ntoday": "line 1: not written by package bulk",
		`{"custom_id":"a"}`:  "line 1: not written by package bulk",
		"{}\n":               "line 1: not written by package bulk",
		"{" + mark + "}\n":   "line 1: not written by package bulk",
		`{"custom_id":"a",` + strings.Replace(mark, "1", "2", 1) + "}\n":                                            "line 1: the format version is 2: must be 1",
		`{"custom_id":"a",` + strings.Replace(mark, "00", "", 1) + "}\n":                                            `line 1: the digest is "00`,
		`{"custom_id":"a",` + strings.Replace(mark, "00", "0000", 1) + "}\n":                                        `line 1: the digest is "00`,
		`{"custom_id":null,` + strings.Replace(strings.Replace(mark, "request", "row", 1), "00", "0000", 1) + "}\n": `line 1: the digest is "00`,
		`{"custom_id":"a",` + strings.Replace(mark, "00", "xy", 1) + "}\n":                                          `line 1: the digest is "xy00`,
		`{"custom_id":"a",` + mark + "}\n" + `{"custom_id":"b","bu` + "\n" + `{"custom_id":"a",` + mark + "}\n":     "line 2: not written by package bulk",
	} {
		path := output(t)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		j, err := bulk.OpenJournal(path)
		if j != nil || err == nil || !strings.Contains(err.Error(), "bulk: "+path+": "+want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("%q became %q, %v", text, got, err)
		}
	}
}

// Every later version reads the output format of version 1.
func TestOutputOfVersion1(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/version1.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	path := output(t)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	client, server := emulatortest.New(t)
	summary := mustRun(t, client, path, jsonl(
		`{"custom_id": "batch", "body": {"model": "mistral-large-latest", "inputs": "Say batch"}}`,
		`{"id": "short", "prompt": "Say <short> & sweet"}`, `broken`, `{"id": "busy", "prompt": "Say busy"}`,
	), options)
	wantSummary(t, summary, bulk.Summary{Rows: 4, Done: 1, Already: 2, AlreadyFailed: 1})
	if n := server.Stats().Requests; n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

func TestLock(t *testing.T) {
	t.Parallel()
	path := output(t)
	j := open(t, path)
	if _, err := bulk.OpenJournal(path); err == nil || !strings.HasSuffix(err.Error(), path+": in use by another process") {
		t.Errorf("a second journal: %v", err)
	}
	if _, err := os.ReadFile(path); err != nil {
		t.Errorf("a reader: %v", err)
	}
	if err := errors.Join(j.Close(), j.Close()); err != nil {
		t.Error(err)
	}
	open(t, path)
	if names, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); err != nil || len(names) != 1 {
		t.Errorf("the directory contains %v, %v", names, err)
	}
}

func TestOutputsThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	readOnly := filepath.Join(folder, "readonly.jsonl")
	if err := os.WriteFile(readOnly, nil, 0o400); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{
		filepath.Join(folder, "none", "out.jsonl"): fs.ErrNotExist,
		folder:   nil,
		readOnly: fs.ErrPermission,
	} {
		if path == readOnly && (os.Getuid() == 0 || runtime.GOOS == "windows") {
			continue // the superuser may write everything: see TestReadOnlyOutput
		}
		if _, err := bulk.OpenJournal(path); err == nil || want != nil && !errors.Is(err, want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
}

// If the output is removed or replaced during a job, the job ends, because its results would be
// lost.
func TestOutputIsRemoved(t *testing.T) {
	t.Parallel()
	client, _ := emulatortest.New(t)
	path := output(t)
	j := open(t, path)
	if err := os.Remove(path); err != nil {
		t.Skip("this system does not remove files in use:", err)
	}
	summary, err := bulk.Run(t.Context(), client, prompts(3), j, options)
	if err == nil || !strings.Contains(err.Error(), "the file was removed or replaced while it was open") {
		t.Errorf("%+v, %v", summary, err)
	}
}

// An answer with the maximum nesting of JSON is written as a line that can be read again.
func TestDeepAnswer(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", 9_999) + strings.Repeat("]", 9_999)
	client, server := emulatortest.New(t, emulatortest.WithServer(emulator.Config{
		Model: func(context.Context, emulator.Prompt) emulator.Reply { return emulator.Reply{Text: deep} },
	}))
	o := options
	o.Schema = map[string]any{"type": "object"}
	path := output(t)
	wantSummary(t, mustRun(t, client, path, prompts(1), o), bulk.Summary{Rows: 1, Failed: 1})
	var body string
	if err := json.Unmarshal(read(t, path)[0].Response.Body, &body); err != nil || body != deep {
		t.Errorf("the body is %.20q, %v", body, err)
	}
	wantSummary(t, mustRun(t, client, path, prompts(1), o), bulk.Summary{Rows: 1, AlreadyFailed: 1})
	if n := server.Stats().Requests; n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
}

// While an input is read for a journal, neither Plan nor Run reads another input for it. Otherwise
// rows of one input would count as duplicates of the other's.
func TestJournalInUse(t *testing.T) {
	t.Parallel()
	client, _ := emulatortest.New(t)
	path := output(t)
	j := open(t, path)
	o := options
	o.Journal = j
	source := bulk.Rows(func(yield func(bulk.Row) bool) {
		if !yield(prompt("row-1", "Say word 1")) {
			return
		}
		const want = "bulk: the journal is in use: must be used by only one Run or Plan at a time"
		if _, err := bulk.Plan(t.Context(), client, prompts(3), o); err == nil || err.Error() != want {
			t.Errorf("Plan: %v, want %s", err, want)
		}
		if _, err := bulk.Run(t.Context(), client, prompts(3), j, options); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("Run: %v, want %s", err, want)
		}
		yield(prompt("row-2", "Say word 2"))
	})
	summary, err := bulk.Run(t.Context(), client, source, j, options)
	if err != nil {
		t.Fatal(err)
	}
	wantSummary(t, summary, bulk.Summary{Rows: 2, Done: 2})
	if _, err := bulk.Plan(t.Context(), client, prompts(3), o); err != nil {
		t.Error(err)
	}
}
