package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"regexp"
	"time"
)

// options selects what to run.
type options struct {
	limits    []limits
	workloads []workload
	servers   []string
	seeds     uint64
	length    time.Duration
	chart     string // The path of the chart; "": no chart.

	challenges []challenge // If set, run these instead of the workloads.
}

// parse parses the flags. It also prints errors to w.
func parse(args []string, w io.Writer) (options, error) {
	o := options{length: lengthOfRun}
	flags := flag.NewFlagSet("simulation", flag.ContinueOnError)
	flags.SetOutput(w)
	flags.Uint64Var(&o.seeds, "seeds", 5, "runs of each scenario, at least 1")
	flags.StringVar(&o.chart, "o", "", "`path` of the chart, .svg (default chart.svg; no chart with -only, -limits or -servers)")
	untuned := flags.Bool("challenges", false, "run only the default configuration, in scenarios for which it was not tuned")
	only := flags.String("only", "", "regular `expression` that selects workloads or challenges by name")
	limit := flags.String("limits", "", "regular `expression` that selects limits by name (tpm, rps, slow)")
	server := flags.String("servers", "", "regular `expression` that selects servers by name")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.chart == "" && cmp.Or(*only, *limit, *server) == "" {
		o.chart = "chart.svg"
	}

	var errs [5]error
	if o.seeds < 1 {
		errs[0] = errors.New("-seeds: must be at least 1, got 0")
	}
	if *untuned {
		o.challenges, errs[1] = choose("only", *only, challenges, func(c challenge) string { return c.name })
	} else {
		o.workloads, errs[1] = choose("only", *only, workloads, func(w workload) string { return w.name })
	}
	o.limits, errs[2] = choose("limits", *limit, allLimits, func(l limits) string { return l.name })
	o.servers, errs[3] = choose("servers", *server, serverKinds, func(s string) string { return s })
	if flags.NArg() > 0 {
		errs[4] = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	err := errors.Join(errs[:]...)
	if err != nil {
		_, _ = fmt.Fprintln(w, err)
	}
	return o, err
}

// choose returns the elements whose names match the expression of a flag.
func choose[T any](flag, expression string, all []T, name func(T) string) (chosen []T, err error) {
	re, err := regexp.Compile(expression)
	if err != nil {
		return nil, fmt.Errorf("-%s: %w", flag, err)
	}
	for _, x := range all {
		if re.MatchString(name(x)) {
			chosen = append(chosen, x)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("-%s: no name matches %q", flag, expression)
	}
	return chosen, nil
}
