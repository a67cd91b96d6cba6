package bulk_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/bulk"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// options are the options of most tests.
var options = bulk.Options{Defaults: generated.StartConversationRequest{Model: "mistral-small-latest", Store: ratelimited.Ptr(false)}}

// A line is the part of an output line that the tests check.
type line struct {
	CustomID *string `json:"custom_id"`
	Bulk     struct {
		Version int    `json:"version"`
		Line    int    `json:"line"`
		Request string `json:"request"`
		Row     string `json:"row"`
	} `json:"bulk"`
	Response *struct {
		StatusCode int             `json:"status_code"`
		Body       json.RawMessage `json:"body"`
	} `json:"response"`
	Error *struct {
		Message   string `json:"message"`
		Retryable bool   `json:"retryable"`
	} `json:"error"`
}

// id returns the custom_id, or the line number without one.
func (l line) id() string {
	if l.CustomID == nil {
		return fmt.Sprintf("line %d", l.Bulk.Line)
	}
	return *l.CustomID
}

// read reads an output.
func read(t testing.TB, path string) (lines []line) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	in := bufio.NewScanner(file)
	in.Buffer(nil, 128<<20)
	for in.Scan() {
		var l line
		if err := json.Unmarshal(in.Bytes(), &l); err != nil {
			t.Fatalf("%v in %s", err, in.Text())
		}
		lines = append(lines, l)
	}
	if err := in.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

// byID returns the lines of an output by ID, and reports duplicates.
func byID(t testing.TB, path string) map[string]line {
	t.Helper()
	lines := map[string]line{}
	for _, l := range read(t, path) {
		if _, twice := lines[l.id()]; twice {
			t.Errorf("the output has %q twice", l.id())
		}
		lines[l.id()] = l
	}
	return lines
}

func output(t testing.TB) string { return filepath.Join(t.TempDir(), "out.jsonl") }

func open(t testing.TB, path string) *bulk.Journal {
	t.Helper()
	j, err := bulk.OpenJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

// run runs a job with an output and closes the output.
func run(t testing.TB, client *ratelimited.Client, path string, source bulk.Source, o bulk.Options) (*bulk.Summary, error) {
	t.Helper()
	j := open(t, path)
	summary, err := bulk.Run(t.Context(), client, source, j, o)
	if err := j.Close(); err != nil {
		t.Error(err)
	}
	return summary, err
}

// mustRun is like run, but fails the test on an error.
func mustRun(t testing.TB, client *ratelimited.Client, path string, source bulk.Source, o bulk.Options) *bulk.Summary {
	t.Helper()
	summary, err := run(t, client, path, source, o)
	if err != nil {
		t.Fatal(err)
	}
	return summary
}

// jsonl returns a source of lines.
func jsonl(lines ...string) bulk.Source {
	return bulk.JSONL(strings.NewReader(strings.Join(lines, "\n")))
}

// prompts returns a source of n rows: "Say word 1" and so on.
func prompts(n int) bulk.Source {
	return bulk.Rows(func(yield func(bulk.Row) bool) {
		for i := range n {
			if !yield(prompt(fmt.Sprintf("row-%d", i+1), fmt.Sprintf("Say word %d", i+1))) {
				return
			}
		}
	})
}

func prompt(id, text string) bulk.Row {
	return bulk.Row{ID: id, Request: generated.StartConversationRequest{Inputs: ratelimited.Text(text)}}
}

// all reads a source.
func all(t *testing.T, source bulk.Source) (rows []bulk.Row) {
	t.Helper()
	for row, err := range source {
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
	return rows
}

// answerOf returns the text of the answer in an output line.
func answerOf(t *testing.T, l line) string {
	t.Helper()
	if l.Response == nil || l.Error != nil {
		t.Errorf("%s failed: %+v", l.id(), l.Error)
		return ""
	}
	var response generated.ConversationResponse
	if err := response.UnmarshalJSON(l.Response.Body); err != nil {
		t.Error(err)
	}
	return response.OutputText()
}
