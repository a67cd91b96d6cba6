package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/bulk"
)

// lineInterval is the interval between progress lines outside of a terminal.
const lineInterval = 10 * time.Second

// A display shows the progress: as a bar on a terminal, and otherwise as lines.
type display struct {
	command *command
	total   int           // rows that will get a new line in the output; -1 if unknown
	latest  time.Duration // when the latest line was printed

	terminal *os.File
	bar      *progressbar.ProgressBar // nil outside of a terminal
}

func newDisplay(c *command) *display {
	d := &display{command: c, total: -1}
	if c.options.Forecast != nil {
		d.total = c.options.Forecast.Calls + c.options.Forecast.Invalid
	}
	if file, ok := c.err.(*os.File); ok && !c.json && term.IsTerminal(int(file.Fd())) {
		d.terminal = file
		d.bar = progressbar.NewOptions(d.total, progressbar.OptionSetWriter(file), progressbar.OptionSetWidth(20), progressbar.OptionShowCount(),
			progressbar.OptionSetElapsedTime(false), progressbar.OptionSetPredictTime(false), progressbar.OptionShowDescriptionAtLineEnd(),
			progressbar.OptionSetRenderBlankState(true), progressbar.OptionUseANSICodes(true))
	}
	return d
}

// progress shows the progress. bulk.Run calls it every second.
func (d *display) progress(p bulk.Progress) {
	switch {
	case d.bar != nil:
		d.bar.Describe(d.shortened(progressText(p, d.command.options.Forecast)))
		n := p.Done + p.Failed
		if d.total >= 0 { // the bar rejects larger values
			n = min(n, max(d.total, 1))
		}
		_ = d.bar.Set(n) // fails only if the terminal is closed
	case p.Duration-d.latest < lineInterval:
	case d.command.json:
		d.latest = p.Duration
		d.command.printJSON("progress", p)
	default:
		d.latest = p.Duration
		of := ""
		if d.total >= 0 {
			of = fmt.Sprintf(" of %d", d.total)
		}
		_, _ = fmt.Fprintf(d.command.err, "%v: %d%s rows, %s\n", p.Duration.Round(time.Second), p.Done+p.Failed, of, progressText(p, d.command.options.Forecast))
	}
}

// shortened shortens a text to the space next to the bar.
func (d *display) shortened(text string) string {
	const barAndCount = 52
	width, _, err := term.GetSize(int(d.terminal.Fd()))
	if room := max(10, width-barAndCount); err == nil && len(text) > room {
		return strings.ToValidUTF8(text[:room-1], "") + "…"
	}
	return text
}

func (d *display) end() {
	if d.bar != nil {
		_ = d.bar.Exit()
		_, _ = fmt.Fprintln(d.command.err)
	}
}

// progressText describes the progress of a job.
func progressText(p bulk.Progress, plan *bulk.Forecast) string {
	if p.Outage != "" {
		return fmt.Sprintf("waiting for the end of an outage that began at %s: %s", p.OutageSince.Format(time.TimeOnly), p.Outage)
	}
	var parts []string
	if p.Left >= 0 {
		left := rounded(p.Left) + " left"
		if plan != nil {
			left += " (planned " + rounded(max(0, plan.Duration.Expected-p.Duration)) + ")"
		}
		parts = append(parts, left)
	}
	parts = append(parts, fmt.Sprintf("%d failed", p.Failed), fmt.Sprintf("%d in flight", p.InFlight), fmt.Sprintf("%d waiting", p.Waiting),
		fmt.Sprintf("%d rows/min", p.RowsPerMinute), fmt.Sprintf("%d of %d tokens/min", p.TokensPerMinute, p.TokenLimit))
	if p.LimitedBy != "" {
		parts = append(parts, "limited by "+p.LimitedBy)
	}
	return strings.Join(parts, ", ")
}

// unlimited is the shortest duration that is not shown, such as that of a call that may never fit.
const unlimited = 100 * 365 * 24 * time.Hour

func rounded(d time.Duration) string {
	switch {
	case d >= unlimited:
		return "unlimited"
	case d < time.Second:
		return "less than 1s"
	case d >= time.Hour:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	}
	return d.Round(time.Second).String()
}

func (c *command) showPlan(f *bulk.Forecast) {
	if c.json {
		c.printJSON("plan", f)
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d rows: %d to send", f.Rows, f.Calls)
	for _, part := range []struct {
		n    int
		what string
	}{{f.Changed, "of them changed"}, {f.Done, "done"}, {f.Failed, "failed"}, {f.Invalid, "invalid"}} {
		if part.n > 0 {
			fmt.Fprintf(&b, ", %d %s", part.n, part.what)
		}
	}
	if f.Calls > 0 {
		basis := "the length of responses is not known yet"
		if f.Replies > 0 {
			basis = fmt.Sprintf("based on %d responses", f.Replies)
		}
		fmt.Fprintf(&b, "\nTokens: about %d (%d to %d), %d of them in prompts; %s", f.Tokens.Expected, f.Tokens.Low, f.Tokens.High, f.Counted, basis)
		duration := fmt.Sprintf("about %s (%s to %s)", rounded(f.Duration.Expected), rounded(f.Duration.Low), rounded(f.Duration.High))
		switch {
		case f.Duration.Expected >= unlimited:
			duration = "unknown, because some rows may exceed the token limit,"
		case f.Duration.High < time.Second:
			duration = "less than 1s"
		}
		fmt.Fprintf(&b, "\nDuration: %s at %v requests/s and %d tokens/min, limited by %s", duration, f.RequestsPerSecond, f.TokensPerMinute, f.LimitedBy)
		if c.client.LearnLimits {
			fmt.Fprint(&b, "; the limits will be learned")
		}
	}
	to := c.err
	if c.plan {
		to = c.out
	}
	_, _ = fmt.Fprintln(to, b.String())
}

func (c *command) showSummary(s *bulk.Summary, outputSize int64, err error) {
	if c.json {
		text := ""
		if err != nil {
			text = err.Error()
		}
		c.printJSON("summary", struct {
			*bulk.Summary
			Error string `json:",omitempty"`
		}{s, text})
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d done, %d failed", s.Done, s.Failed)
	for _, part := range []struct {
		n    int
		what string
	}{{s.Already, "already done"}, {s.AlreadyFailed, "already failed"}, {s.Left, "read but not sent"}} {
		if part.n > 0 {
			fmt.Fprintf(&b, ", %d %s", part.n, part.what)
		}
	}
	fmt.Fprintf(&b, ", in %s; %d prompt tokens and %d completion tokens", rounded(s.Duration), s.PromptTokens, s.CompletionTokens)
	if s.Failed > 0 {
		fmt.Fprintf(&b, "\nThe errors are in %s", c.output)
		if line, message := firstError(c.output, outputSize); message != "" {
			fmt.Fprintf(&b, ". The first one is of line %d: %s", line, message)
		}
	}
	switch {
	case err != nil || s.Stopped == "":
	case s.Stopped == bulk.StoppedBudget && s.Done+s.Failed == 0:
		fmt.Fprintf(&b, "\nStopped before the first row: it is expected to use more than the budget of %d tokens; raise -budget-tokens", c.options.TokenBudget)
	default:
		fmt.Fprintf(&b, "\nStopped before the end (%s); run the same command again to continue", s.Stopped)
	}
	_, _ = fmt.Fprintln(c.out, b.String())
}

// firstError returns the line in the input and the error of the first failed row in the output after an offset.
func firstError(output string, offset int64) (line int, message string) {
	file, err := os.Open(output) //nolint:gosec // the user chooses the files
	if err != nil {
		return 0, ""
	}
	defer func() { _ = file.Close() }()
	if _, err := file.Seek(offset, io.SeekStart); err != nil {
		return 0, ""
	}
	for decoder := json.NewDecoder(file); ; {
		var row struct {
			Bulk  struct{ Line int }
			Error *struct{ Message string }
		}
		switch err := decoder.Decode(&row); {
		case err != nil:
			return 0, ""
		case row.Error != nil:
			return row.Bulk.Line, strings.TrimPrefix(row.Error.Message, fmt.Sprintf("line %d: ", row.Bulk.Line))
		}
	}
}

// printJSON prints an event as a line of JSON, such as {"plan": {…}}.
func (c *command) printJSON(event string, value any) {
	text, err := json.Marshal(map[string]any{event: value})
	if err == nil {
		_, _ = fmt.Fprintf(c.out, "%s\n", text)
	}
}
