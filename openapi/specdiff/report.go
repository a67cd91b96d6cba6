package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A change is one line of a report.
type change struct {
	breaking bool
	where    string
	text     string
}

func (c change) String() string {
	kind := "not breaking"
	if c.breaking {
		kind = "breaking"
	}
	return kind + ": " + c.where + ": " + c.text
}

// A report is the result of a comparison.
type report struct {
	origins      string // identifies the two documents
	overlay      overlayResult
	changes      []change
	descriptions []string // the changes of the vendor's descriptions
}

func newReport(overlay overlayResult, changes []change) *report {
	slices.SortStableFunc(changes, func(a, b change) int {
		if a.breaking != b.breaking {
			if a.breaking {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.where, b.where), cmp.Compare(a.text, b.text))
	})
	return &report{overlay: overlay, changes: slices.Compact(changes)}
}

// empty reports whether an update is unnecessary. Descriptions do not count, because the committed
// document does not contain the vendor's descriptions.
func (r *report) empty() bool {
	return len(r.changes) == 0 && len(r.overlay.errors) == 0 && len(r.overlay.gaps) == 0
}

// String returns one line for each finding, and a last line with counts.
func (r *report) String() string {
	var b strings.Builder
	b.WriteString(r.origins)
	breaking := 0
	for _, c := range r.changes {
		if c.breaking {
			breaking++
		}
		fmt.Fprintln(&b, c)
	}
	for _, err := range r.overlay.errors {
		fmt.Fprintf(&b, "overlay error: %s\n", err)
	}
	for _, gap := range r.overlay.gaps {
		fmt.Fprintf(&b, "overlay gap: %s\n", gap)
	}
	for _, description := range r.descriptions {
		fmt.Fprintf(&b, "description only: %s\n", description)
	}
	if r.empty() {
		b.WriteString("no changes")
		if n := len(r.descriptions); n > 0 {
			fmt.Fprintf(&b, " except descriptions: %d", n)
		}
		b.WriteString("\n")
		return b.String()
	}
	fmt.Fprintf(&b, "%d breaking, %d not breaking", breaking, len(r.changes)-breaking)
	if n := len(r.overlay.errors); n > 0 {
		fmt.Fprintf(&b, "; overlay errors: %d", n)
	}
	if n := len(r.overlay.gaps); n > 0 {
		fmt.Fprintf(&b, "; overlay gaps: %d", n)
	}
	if n := len(r.descriptions); n > 0 {
		fmt.Fprintf(&b, "; descriptions: %d", n)
	}
	b.WriteString("\n")
	return b.String()
}
