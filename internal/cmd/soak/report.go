package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// report is a table of what was done.
func report(accounts []*account, v *resourceStats) string {
	var b strings.Builder
	row := func(name string, cell func(*account) string) {
		fmt.Fprintf(&b, "%-40s", name)
		for _, a := range accounts {
			fmt.Fprintf(&b, "%26s", cell(a))
		}
		b.WriteString("\n")
	}
	number := func(name string, n func(*account) int) {
		row(name, func(a *account) string { return strconv.Itoa(n(a)) })
	}
	tokens := func(name string, p func(totals) part) {
		row(name, func(a *account) string {
			q := p(a.reconciler.totals)
			return fmt.Sprintf("%d: %d = %d", q.n, q.client, q.server)
		})
	}
	row("", func(a *account) string { return a.name })
	number("calls", func(a *account) int { return a.reconciler.totals.calls })
	ends := map[string]bool{}
	for _, a := range accounts {
		for kind := range a.reconciler.ends {
			ends[kind] = true
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(ends)) {
		number("ended with "+kind, func(a *account) int { return a.reconciler.ends[kind] })
	}
	number("admitted", func(a *account) int { return a.reconciler.totals.admitted })
	number("settled", func(a *account) int { return a.reconciler.totals.settled })
	number("cancelled", func(a *account) int { return a.reconciler.totals.cancelled })
	number("attempts", func(a *account) int { return a.reconciler.totals.attempts })
	number("written again by net/http, with a permit", func(a *account) int { return a.reconciler.totals.resent })
	number("never arrived", func(a *account) int { return a.reconciler.totals.unarrived })
	number("requests at the emulator", func(a *account) int { return a.server.Stats().Requests })
	row("struck by a fault", func(a *account) string {
		n := 0
		for _, struck := range a.server.Stats().Faults {
			n += struck
		}
		return fmt.Sprintf("%.1f %%", 100*float64(n)/float64(max(1, a.server.Stats().Requests)))
	})
	number("accepted", func(a *account) int { return a.server.Stats().Total().Admitted })
	number("429s that were faults", func(a *account) int { return a.server.Stats().Total().Refused() - a.violations() })
	number("429s that were not", (*account).violations)
	tokens("whole replies: tokens settled = charged", func(t totals) part { return t.whole })
	row("broken replies: tokens settled, charged", func(a *account) string { return a.reconciler.totals.broken.String() })
	row("lost replies: tokens settled, charged", func(a *account) string { return a.reconciler.totals.lost.String() })
	row("all tokens: client, emulator", func(a *account) string {
		return fmt.Sprintf("%d, %d", a.reconciler.totals.clientTokens(), a.server.Stats().Total().Tokens)
	})
	fmt.Fprintf(&b, "heap after a collection, MiB: %s\ngoroutines: %s\n", numbers("%.1f", v.heap), numbers("%.0f", v.goroutines))
	return b.String()
}

// findings are the account's, as far as they were kept.
func (a *account) findings() (findings []string) {
	for _, finding := range a.reconciler.findings {
		findings = append(findings, a.name+": "+finding)
	}
	if more := a.reconciler.found - len(a.reconciler.findings); more > 0 {
		findings = append(findings, fmt.Sprintf("%s: and %d more", a.name, more))
	}
	return findings
}

func (p part) String() string { return fmt.Sprintf("%d: %d, %d", p.n, p.client, p.server) }

// violations is how many requests the emulator refused of its own accord.
func (a *account) violations() int {
	stats := a.server.Stats()
	n := stats.Total().Refused()
	for _, kind := range refusals {
		n -= stats.Faults[kind]
	}
	return n
}

func numbers(format string, list []float64) string {
	texts := make([]string, len(list))
	for i, x := range list {
		texts[i] = fmt.Sprintf(format, x)
	}
	return strings.Join(texts, " ")
}
