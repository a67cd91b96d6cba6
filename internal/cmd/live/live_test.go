package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
)

// The emulator answers every question, and every exchange is written to a file without the key. The
// command deletes all conversations and agents.
func TestAgainstTheEmulator(t *testing.T) {
	t.Parallel()
	const key = "sk-the-secret-key"
	server, err := emulator.Start(emulator.Config{APIKey: key, TokensPerMinute: 500_000, Model: emulatedModel, OnViolation: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	folder := filepath.Join(t.TempDir(), "exchanges")
	var out strings.Builder
	if err := run(t.Context(), &out, settings{key: key, baseURL: server.URL(), folder: folder, model: "mistral-small-latest", requestsPerSecond: 100}); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	t.Log("\n" + out.String())
	for _, q := range questions {
		i := strings.Index(out.String(), q.name+" ")
		if i < 0 {
			t.Errorf("the report lacks %s", q.name)
			continue
		}
		line, _, _ := strings.Cut(out.String()[i:], "\n")
		if strings.Contains(line, "no answer") || strings.Contains(line, "failed") {
			t.Errorf("%s", line)
		}
	}
	if strings.Contains(out.String(), "not observed") {
		t.Error("the emulator does not show the behavior of a question")
	}
	for _, want := range []string{
		"rejected: 400, code 3230", "twice rejected: 400, code 3001", "empty append accepted", "conversation_id, object, outputs, usage", "of 500000 before",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %q", want)
		}
	}
	files, err := os.ReadDir(folder)
	if err != nil || len(files) < 30 {
		t.Fatalf("%d files, want at least 30: %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(folder, file.Name()))
		if err != nil {
			t.Fatal(err)
		}
		var x exchange
		if err := json.Unmarshal(text, &x); err != nil || x.Question == "" || x.Status == 0 || !strings.HasPrefix(x.Path, "/v1/") {
			t.Errorf("%s: %v, %+v", file.Name(), err, x)
		}
		if strings.Contains(string(text), key) || strings.Contains(string(text), "Bearer") {
			t.Errorf("the key is in %s", file.Name())
		}
		if i := strings.Index(string(text), `owner_id\":\"`); i >= 0 && !strings.HasPrefix(string(text[i:]), `owner_id\":\"redacted`) {
			t.Errorf("%s has an id of the account", file.Name())
		}
	}
	stats := server.Stats()
	if stats.Operations["DeleteAgent"] != 3 || stats.Operations["DeleteConversation"] < 10 {
		t.Errorf("operations %+v, want 3 deleted agents and at least 10 deleted conversations", stats.Operations)
	}
}

// Without a key the command uses the emulator.
func TestWithoutKey(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := run(t.Context(), &out, settings{model: "mistral-small-latest"}); err != nil || !strings.HasPrefix(out.String(), "Using the embedded emulator") {
		t.Errorf("error %v, want nil and the emulator's report, got\n%s", err, &out)
	}
}
