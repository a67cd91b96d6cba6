package bulk_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/bulk"
)

// For any input, each row has a request that can be encoded, or an error.
func FuzzInput(f *testing.F) {
	for _, text := range []string{
		`{"id":"a","prompt":"x"}`, `{"custom_id":1,"body":{"model":"m","inputs":[{"role":"user","content":"x"}],"stream":true}}`, "\ufeff{}\r\n\n[]",
		`{"id":"a","body":{"completion_args":{"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":{}}}}}}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, source := range []bulk.Source{bulk.JSONL(bytes.NewReader(text)), bulk.Lines(bytes.NewReader(text))} {
			line := 0
			for row, err := range source {
				if err != nil {
					break
				}
				if row.Line <= line || row.Err == nil && row.ID == "" {
					t.Fatalf("row %+v after line %d", row, line)
				}
				line = row.Line
				if _, err := row.Request.MarshalJSON(); err != nil && row.Err == nil {
					t.Fatalf("the request of %q: %v", text, err)
				}
			}
		}
	})
}

// OpenJournal opens or rejects any output. It removes nothing except an incomplete last line.
func FuzzOutput(f *testing.F) {
	whole, err := os.ReadFile("testdata/version1.jsonl")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)-9])
	f.Add([]byte("{}\n"))
	path := filepath.Join(f.TempDir(), "out.jsonl")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		j, failed := bulk.OpenJournal(path)
		if failed == nil {
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		kept := text[:bytes.LastIndexByte(text, '\n')+1]
		isCut := failed == nil && bytes.Equal(got, kept)
		isEnded := failed == nil && bytes.Equal(got, append(bytes.Clone(text), '\n'))
		if !bytes.Equal(got, text) && !isCut && !isEnded {
			t.Fatalf("%q became %q, %v", text, got, failed)
		}
	})
}
