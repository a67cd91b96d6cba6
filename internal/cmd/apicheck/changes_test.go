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
		t.Errorf("the names are\n%s\nwant\n%s", strings.Join(names, "\n"), strings.Join(want, "\n"))
	}
	if unknown := changes("- something else\n", "example.com/sdk", nil); len(unknown) != 1 || unknown[0].matches("*") {
		t.Errorf("a line of an unknown format returns %v, want a change that no name matches", unknown)
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
	announcedNames := announced(changelog)
	if !slices.Equal(announcedNames, []string{"NewClient", "Client.*"}) {
		t.Fatalf("the announced names are %q, want NewClient and Client.*", announcedNames)
	}
	for _, c := range changes(report, "example.com/sdk", nil) {
		want := strings.Contains(c.text, "Client")
		if got := slices.ContainsFunc(announcedNames, c.matches); got != want {
			t.Errorf("%s: announced is %v, want %v", c.text, got, want)
		}
	}
}
