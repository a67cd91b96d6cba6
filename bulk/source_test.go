package bulk_test

import (
	"errors"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/bulk"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulatortest"
)

func TestJSONL(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text    string
		id      string
		request string // the JSON of the request, or the error
	}{
		"prompt":                   {`{"id": "a", "prompt": "Hello!"}`, "a", `{"inputs":"Hello!"}`},
		"number as id":             {`{"id": 12, "prompt": "Hello!"}`, "12", `{"inputs":"Hello!"}`},
		"batch row":                {`{"custom_id":"b","body":{"model":"m","inputs":[{"role":"user","content":"x"}],"completion_args":{"max_tokens":5}}}`, "b", `{"completion_args":{"max_tokens":5},"inputs":[{"role":"user","content":"x"}],"model":"m"}`},
		"other properties":         {`{"custom_id":"b","prompt":"x","method":"POST","label":7}`, "b", `{"inputs":"x"}`},
		"empty properties of body": {`{"custom_id":"b","body":{"inputs":"x","stream":false,"tools":[],"name":null,"unknown":{}}}`, "b", `{"inputs":"x"}`},
		"byte order mark":          {"\ufeff" + `{"id":"a","prompt":"x"}`, "a", `{"inputs":"x"}`},
		"CRLF":                     {`{"id":"a","prompt":"x"}` + "\r\n\r\n", "a", `{"inputs":"x"}`},

		"broken JSON":           {`{"id":"a","prompt":`, "", "the line is not a row: unexpected end of JSON input"},
		"not an object":         {`7`, "", "the line is not a row: must be a JSON object, got a JSON number"},
		"number as prompt":      {`{"prompt":7,"id":"a"}`, "a", "prompt must be a string, got a JSON number"},
		"not UTF-8":             {"{\"id\":\"a\",\"prompt\":\"\xff\"}", "", "the line is not valid UTF-8"},
		"no id":                 {`{"prompt":"x"}`, "", "custom_id is missing"},
		"empty id":              {`{"id":"","prompt":"x"}`, "", `custom_id is "": must not be empty`},
		"list as id":            {`{"id":[1],"prompt":"x"}`, "", "custom_id is [1]: must be a string or a number"},
		"no body or prompt":     {`{"id":"a","promt":"x"}`, "a", "the row has neither a body nor a prompt"},
		"body and prompt":       {`{"id":"a","prompt":"x","body":{}}`, "a", "the row has a body and a prompt"},
		"text as body":          {`{"id":"a","body":"x"}`, "a", `body`},
		"wrong type":            {`{"id":"a","body":{"inputs":"x","completion_args":{"temperature":"hot"}}}`, "a", `body: "/completion_args/temperature": "hot"`},
		"misspelled property":   {`{"id":"a","body":{"inputs":"x","instuctions":"y"}}`, "a", `body: unknown property /instuctions (did you mean "instructions"?)`},
		"chat completions":      {`{"id":"a","body":{"messages":[{"role":"user","content":"x"}]}}`, "a", "body: unknown property /messages (a property of chat completions: use inputs)"},
		"wrong level":           {`{"id":"a","body":{"inputs":"x","max_tokens":5}}`, "a", `body: unknown property /max_tokens (did you mean "completion_args/max_tokens"?)`},
		"unknown deep property": {`{"id":"a","body":{"inputs":"x","completion_args":{"max_token":5}}}`, "a", `body: unknown property /completion_args/max_token (did you mean "max_tokens"?)`},
	} {
		rows := all(t, jsonl(test.text))
		if len(rows) != 1 {
			t.Errorf("%s: %d rows, want 1", name, len(rows))
			continue
		}
		row := rows[0]
		text, err := row.Request.MarshalJSON()
		if row.Err != nil {
			text, err = []byte(row.Err.Error()), nil
		}
		if err != nil || row.ID != test.id || row.Line != 1 || !strings.HasPrefix(string(text), test.request) {
			t.Errorf("%s: row %d %q: %s, %v; want %q: %s", name, row.Line, row.ID, text, err, test.id, test.request)
		}
		if isValid := strings.HasPrefix(test.request, "{"); isValid != (row.Err == nil) {
			t.Errorf("%s: error %v", name, row.Err)
		}
	}
}

// Empty lines count toward line numbers. A line may be up to 32 MiB long.
func TestLines(t *testing.T) {
	t.Parallel()
	long, tooLong := strings.Repeat("x", 5<<20), strings.Repeat("y", 33<<20)
	rows := all(t, bulk.Lines(strings.NewReader("\ufeffone\r\n\r\n   \n two \n"+long+"\n"+tooLong+"\nlast")))
	for i, want := range []struct {
		id, text string
		line     int
	}{{"1", "one", 1}, {"4", " two ", 4}, {"5", long, 5}, {"", "", 6}, {"7", "last", 7}} {
		text, _ := rows[i].Request.Inputs.Text()
		if rows[i].ID != want.id || rows[i].Line != want.line || text != want.text {
			t.Errorf("row %d is %q of line %d: %.10q, want %q of line %d: %.10q", i, rows[i].ID, rows[i].Line, text, want.id, want.line, want.text)
		}
		if tooLong := rows[i].Err != nil; tooLong != (want.line == 6) {
			t.Errorf("line %d: %v", want.line, rows[i].Err)
		}
	}
	if len(rows) != 5 || rows[3].Err.Error() != "the line is too long: must be at most 32 MiB" {
		t.Errorf("%d rows, %v", len(rows), rows[3].Err)
	}
}

// An input that cannot be read is an error, not a short input.
func TestUnreadableInput(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		source bulk.Source
		want   string
	}{
		"reader":      {bulk.Lines(iotest.ErrReader(broken)), "bulk: reading line 1: broken"},
		"UTF-16":      {bulk.JSONL(strings.NewReader("\xff\xfe{\x00")), "bulk: reading line 1: the text is UTF-16: must be UTF-8"},
		"no reader":   {bulk.JSONL(nil), "bulk: reading line 1: the reader is nil: must be set"},
		"no iterator": {bulk.Rows(nil), "bulk: Rows: the iterator is nil: must be set"},
	} {
		var got error
		for _, err := range test.source {
			got = err
		}
		if got == nil || got.Error() != test.want {
			t.Errorf("%s: %v, want %s", name, got, test.want)
		}
	}
}

// An ID that cannot be written unchanged makes one error row.
func TestRowsWithBadIDs(t *testing.T) {
	t.Parallel()
	client, server := emulatortest.New(t)
	path := output(t)
	rows := bulk.Rows(func(yield func(bulk.Row) bool) {
		_ = yield(prompt("a\xff", "Say a")) && yield(prompt("", "Say b")) && yield(prompt("c\n\x00\u2028", "Say c"))
	})
	wantSummary(t, mustRun(t, client, path, rows, options), bulk.Summary{Rows: 3, Done: 1, Failed: 2})
	wantSummary(t, mustRun(t, client, path, rows, options), bulk.Summary{Rows: 3, Already: 1, AlreadyFailed: 2})
	if n := server.Stats().Requests; n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
	for _, l := range read(t, path) {
		if l.Bulk.Line == 1 && (l.Error == nil || l.Error.Message != `line 1: the ID is "a\xff": must be valid UTF-8`) {
			t.Errorf("the line is %+v", l.Error)
		}
	}
}
