package limiter_test

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

func TestGroup(t *testing.T) {
	def := limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 1000}
	large := limiter.Limit{RequestsPerSecond: 2, TokensPerMinute: 2000}
	g, err := limiter.NewGroup(def, map[string]limiter.Limit{"large": large}, limiter.InProcess())
	if err != nil {
		t.Fatal(err)
	}
	tpm := func(model string) int { return g.For(model).Snapshot().Limit.TokensPerMinute }
	equal(t, "separate limit", tpm("large"), 2000)
	equal(t, "default", tpm(""), 1000)
	equal(t, "unknown models share the default", g.For("a"), g.For("b"))
	equal(t, "the empty name has the default", g.For(""), g.For("b"))
	equal(t, "limiters", len(g.Snapshot()), 2)

	before := g.For("large")
	large.TokensPerMinute = 3000
	if err := g.Set("large", large); err != nil {
		t.Error(err)
	}
	equal(t, "changed limit", tpm("large"), 3000)
	equal(t, "limiter", g.For("large"), before)

	def.TokensPerMinute = 500
	if err := g.Set("", def); err != nil {
		t.Error(err)
	}
	equal(t, "changed default", tpm("unknown"), 500)

	if err := g.Set("new", large); err != nil {
		t.Error(err)
	}
	if g.For("new") == g.For("") {
		t.Error("the new model has the default's limiter")
	}
	s := g.Snapshot()
	equal(t, "limiters", len(s), 3)
	equal(t, "snapshot of default", s[""].Limit.TokensPerMinute, 500)
	equal(t, "snapshot of new", s["new"].Limit.TokensPerMinute, 3000)
}

func TestGroupErrorsNameTheModel(t *testing.T) {
	ok := limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 1000}
	bad := limiter.Limit{RequestsPerSecond: 1}
	g, err := limiter.NewGroup(ok, map[string]limiter.Limit{"known": ok}, limiter.InProcess())
	if err != nil {
		t.Fatal(err)
	}
	_, badDefault := limiter.NewGroup(bad, nil, limiter.InProcess())
	_, badModel := limiter.NewGroup(ok, map[string]limiter.Limit{"fine": ok, "tiny": bad}, limiter.InProcess())
	for text, err := range map[string]error{
		"default limit": badDefault,
		`model "tiny"`:  badModel,
		`model "known"`: g.Set("known", bad),
		`model "new"`:   g.Set("new", bad),
	} {
		var e *limiter.LimitError
		if !errors.As(err, &e) || !strings.Contains(err.Error(), text) {
			t.Errorf("error %v, want a LimitError that names %s", err, text)
		}
	}
	if err := g.Set("", bad); err == nil || !strings.Contains(err.Error(), "default limit") {
		t.Errorf("error %v, want one that names the default limit", err)
	}
	equal(t, "a model with an invalid limit keeps the default", g.For("new"), g.For(""))
	if _, err := limiter.NewGroup(ok, map[string]limiter.Limit{"": ok}, limiter.InProcess()); err == nil {
		t.Error("NewGroup accepted a limit for the empty model name")
	}
}

// Separate gives further models separate limiters, which start with the default limit.
func TestGroupSeparate(t *testing.T) {
	def := limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 1000}
	g, err := limiter.NewGroup(def, nil, limiter.InProcess())
	if err != nil {
		t.Fatal(err)
	}
	g.Separate()
	a, b := g.For("a"), g.For("b")
	if a == b || a == g.For("") || a != g.For("a") {
		t.Error("a and b share a limiter")
	}
	equal(t, "limiters", len(g.Snapshot()), 3)
	own := def
	own.TokensPerMinute = 700
	if err := g.Set("a", own); err != nil {
		t.Fatal(err)
	}
	equal(t, "b has the first default", b.Limit().TokensPerMinute, 1000)
	def.TokensPerMinute = 500
	if err := g.Set("", def); err != nil {
		t.Fatal(err)
	}
	equal(t, "a has the limit that was set", a.Limit(), own.WithDefaults())
	equal(t, "b has the new default", b.Limit(), def.WithDefaults())
	equal(t, "d has the new default", g.For("d").Limit(), def.WithDefaults())
	for i := range 100 {
		g.For(strconv.Itoa(i))
	}
	equal(t, "limiters", len(g.Snapshot()), 65)
	equal(t, "the limiter of a model beyond the maximum", g.For("z"), g.For(""))
}
