package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// change is one line of a report.
type change struct {
	breaking bool
	where    string
	what     string
}

func (c change) String() string {
	kind := "not breaking"
	if c.breaking {
		kind = "breaking"
	}
	return kind + ": " + c.where + ": " + c.what
}

// report is what is said about an upstream document.
type report struct {
	origins string // which documents are compared
	fit     fit
	changes []change
	wording []string // places of which the vendor says the same in other words
}

func newReport(f fit, changes []change) *report {
	slices.SortStableFunc(changes, func(a, b change) int {
		if a.breaking != b.breaking {
			if a.breaking {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.where, b.where), cmp.Compare(a.what, b.what))
	})
	return &report{fit: f, changes: slices.Compact(changes)}
}

// empty reports whether there is nothing to do: the vendor's words are not in the document.
func (r *report) empty() bool {
	return len(r.changes) == 0 && len(r.fit.misfits) == 0 && len(r.fit.gaps) == 0
}

// String has one line for each thing that is said, and a last one with counts.
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
	for _, misfit := range r.fit.misfits {
		fmt.Fprintf(&b, "overlay does not fit: %s\n", misfit)
	}
	for _, gap := range r.fit.gaps {
		fmt.Fprintf(&b, "overlay lacks words: %s\n", gap)
	}
	for _, place := range r.wording {
		fmt.Fprintf(&b, "description only: %s\n", place)
	}
	if r.empty() {
		b.WriteString("no changes")
		if n := len(r.wording); n > 0 {
			fmt.Fprintf(&b, " but of descriptions: %d", n)
		}
		b.WriteString("\n")
		return b.String()
	}
	fmt.Fprintf(&b, "%d breaking, %d not breaking", breaking, len(r.changes)-breaking)
	if n := len(r.fit.misfits); n > 0 {
		fmt.Fprintf(&b, "; what the overlay does not fit: %d", n)
	}
	if n := len(r.fit.gaps); n > 0 {
		fmt.Fprintf(&b, "; what it lacks words for: %d", n)
	}
	if n := len(r.wording); n > 0 {
		fmt.Fprintf(&b, "; of descriptions only: %d", n)
	}
	b.WriteString("\n")
	return b.String()
}
