package nearest_test

import (
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/nearest"
)

func TestHint(t *testing.T) {
	t.Parallel()
	names := []string{"429", "429-tokens", "reset", "reset-mid-stream", "stall"}
	for name, want := range map[string]string{
		"reest": "reset", "429_tokens": "429-tokens", "Reset-Midstream": "reset-mid-stream", "stal": "stall",
		"x": "", "": "", "latency": "",
	} {
		if want != "" {
			want = ` (did you mean "` + want + `"?)`
		}
		if got := nearest.Hint(name, names); got != want {
			t.Errorf("Hint(%q) = %q, want %q", name, got, want)
		}
	}
}
