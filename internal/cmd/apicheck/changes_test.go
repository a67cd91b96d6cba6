package main

import (
	"slices"
	"strings"
	"testing"
)

const report = `Incompatible changes:
- ./generated.(*Client).Send: changed from func() to func(int)
- ./generated.Client.RequestEditors: removed
- ./generated.NewClient: removed
- ./limiter.Backend.Pause: added
- ./limiter.Backend.Resume, method set of Queue: removed
- ./openapi/trim.Trim: changed from func() to func(int)
- package example.com/sdk/tokens: removed
- Version: removed
`

func TestChanges(t *testing.T) {
	t.Parallel()
	found := changes(report, "example.com/sdk", []string{"example.com/sdk/openapi/trim"})
	var names []string
	for _, c := range found {
		names = append(names, strings.Join(c.names, " "))
	}
	want := []string{
		"generated.Client.Send Client.Send Send",
		"generated.Client.RequestEditors Client.RequestEditors RequestEditors",
		"generated.NewClient NewClient",
		"limiter.Backend.Pause Backend.Pause Pause",
		"limiter.Backend.Resume Backend.Resume Resume",
		"example.com/sdk/tokens tokens tokens",
		"sdk.Version Version",
	}
	if !slices.Equal(names, want) {
		t.Errorf("have\n%s\nwant\n%s", strings.Join(names, "\n"), strings.Join(want, "\n"))
	}
	if strange := changes("- something else\n", "example.com/sdk", nil); len(strange) != 1 || strange[0].is("*") {
		t.Errorf("a line of another form gives %v, want a change that nothing announces", strange)
	}
}

func TestAnnounced(t *testing.T) {
	t.Parallel()
	const changelog = `# Changelog

## Unreleased

- A new ` + "`Start`" + `. **` + "`NewClient`" + ` is gone
  and ` + "`Client.*`" + ` take no editors.**

## 1.0.0

- **` + "`Old`" + ` is gone.**
`
	told := announced(changelog)
	if !slices.Equal(told, []string{"NewClient", "Client.*"}) {
		t.Fatalf("announced are %q", told)
	}
	for _, c := range changes(report, "example.com/sdk", nil) {
		want := strings.Contains(c.text, "Client")
		if have := slices.ContainsFunc(told, c.is); have != want {
			t.Errorf("%s: announced is %v, want %v", c.text, have, want)
		}
	}
}
