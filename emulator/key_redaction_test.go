package emulator_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
)

// Printing, encoding or logging an emulator, a server or a config does not reveal the key.
func TestKeyIsNotPrinted(t *testing.T) {
	t.Parallel()
	const key = "sk-THE-SECRET-KEY"
	config := emulator.Config{APIKey: key, TokensPerMinute: 77}
	e := emulator.New(config)
	server := start(t, config).Server
	var b strings.Builder
	for _, value := range []any{
		config, &config, e, *e, server, []any{config, e}, map[string]any{"c": config, "s": server},
		struct{ C emulator.Config }{config}, struct{ E *emulator.Emulator }{e}, struct{ e *emulator.Emulator }{e},
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&b, verb+"\n", value)
		}
		text, err := json.Marshal(value)
		fmt.Fprintln(&b, string(text), err)
		for _, handler := range []slog.Handler{slog.NewTextHandler(&b, nil), slog.NewJSONHandler(&b, nil)} {
			slog.New(handler).Info("m", "value", value, slog.Group("g", "value", value))
		}
	}
	out := b.String()
	for _, form := range []string{key, fmt.Sprintf("%x", key), "SECRET"} {
		if i := strings.Index(out, form); i >= 0 {
			t.Errorf("the output contains the key: …%s…", out[max(0, i-200):min(len(out), i+60)])
		}
	}
	if text := fmt.Sprintf("%+v", server); !strings.Contains(text, "REDACTED") || !strings.Contains(text, "TokensPerMinute:77") {
		t.Errorf("a server prints as %s", text)
	}
	if text := fmt.Sprintf("%+v", emulator.Config{}); strings.Contains(text, "REDACTED") {
		t.Errorf("a Config without a key prints as %s", text)
	}
}
