package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// report returns a table of the totals of each account.
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
	tokens := func(name string, p func(totals) responseTotals) {
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
	number("resent by net/http, with a permit", func(a *account) int { return a.reconciler.totals.resent })
	number("attempts that did not arrive", func(a *account) int { return a.reconciler.totals.notArrived })
	number("requests at the emulator", func(a *account) int { return a.server.Stats().Requests })
	row("requests with a fault", func(a *account) string {
		n := 0
		for _, injected := range a.server.Stats().Faults {
			n += injected
		}
		return fmt.Sprintf("%.1f%%", 100*float64(n)/float64(max(1, a.server.Stats().Requests)))
	})
	number("accepted", func(a *account) int { return a.server.Stats().Total().Admitted })
	number("injected 429 responses", func(a *account) int { return a.server.Stats().Total().Refused() - a.violations() })
	number("429 responses for exceeded limits", (*account).violations)
	tokens("complete responses: settled = charged", func(t totals) responseTotals { return t.complete })
	row("broken responses: settled, charged", func(a *account) string { return a.reconciler.totals.broken.String() })
	row("lost responses: settled, charged", func(a *account) string { return a.reconciler.totals.lost.String() })
	row("all tokens: settled, charged", func(a *account) string {
		return fmt.Sprintf("%d, %d", a.reconciler.totals.clientTokens(), a.server.Stats().Total().Tokens)
	})
	fmt.Fprintf(&b, "heap after garbage collection, MiB: %s\ngoroutines: %s\n", numbers("%.1f", v.heap), numbers("%.0f", v.goroutines))
	return b.String()
}

// findings returns the stored findings of the account.
func (a *account) findings() (findings []string) {
	for _, finding := range a.reconciler.findings {
		findings = append(findings, a.name+": "+finding)
	}
	if more := a.reconciler.found - len(a.reconciler.findings); more > 0 {
		findings = append(findings, fmt.Sprintf("%s: %d more findings", a.name, more))
	}
	return findings
}

func (p responseTotals) String() string { return fmt.Sprintf("%d: %d, %d", p.n, p.client, p.server) }

// violations returns how many requests the emulator throttled without a fault.
func (a *account) violations() int {
	stats := a.server.Stats()
	n := stats.Total().Refused()
	for _, kind := range rateLimitFaults {
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
