package emulator_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
)

// The zero values and nil pointers report that they are not initialized.
func TestZeroValues(t *testing.T) {
	t.Parallel()
	for _, e := range []*emulator.Emulator{nil, {}} {
		w := httptest.NewRecorder()
		e.ServeHTTP(w, httptest.NewRequest("GET", "/v1/agents", nil))
		if w.Code != 500 || !strings.Contains(w.Body.String(), "emulator.New") {
			t.Errorf("response is %d %s, want 500", w.Code, w.Body)
		}
		if err := e.SetFaults(); err == nil || !strings.Contains(err.Error(), "emulator.New") {
			t.Errorf("SetFaults returns %v", err)
		}
		e.Reset()
		if len(e.Faults())+len(e.Requests())+e.Stats().Requests != 0 {
			t.Error("an emulator that is not initialized has faults, requests or stats")
		}
	}
	for _, s := range []*emulator.Server{nil, {}} {
		for name, err := range map[string]error{"Close": s.Close(), "Shutdown": s.Shutdown(t.Context())} {
			if err == nil || !strings.Contains(err.Error(), "emulator.Start") {
				t.Errorf("%s returns %v", name, err)
			}
		}
		if s.URL() != "" {
			t.Errorf("URL is %q", s.URL())
		}
	}
}
