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

// options are what to run.
type options struct {
	limits    []limits
	workloads []workload
	servers   []string
	seeds     uint64
	length    time.Duration
	chart     string // path; "" for none

	challenges []challenge // instead of all else, if there are any
}

// parse reads the flags. What is wrong with them it has told w as well.
func parse(args []string, w io.Writer) (options, error) {
	o := options{length: lengthOfRun}
	flags := flag.NewFlagSet("simulation", flag.ContinueOnError)
	flags.SetOutput(w)
	flags.Uint64Var(&o.seeds, "seeds", 5, "runs of each scenario, at least 1")
	flags.StringVar(&o.chart, "o", "", "`file` to write the chart to, .svg (default chart.svg, or none if something is left out)")
	untuned := flags.Bool("challenges", false, "run the default configuration in scenarios that it was not tuned for, and nothing else")
	only := flags.String("only", "", "workloads, or challenges, to run, a regular `expression`")
	limit := flags.String("limits", "", "limits to run (tpm, rps, slow), a regular `expression`")
	server := flags.String("servers", "", "servers to run, a regular `expression`")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.chart == "" && cmp.Or(*only, *limit, *server) == "" {
		o.chart = "chart.svg"
	}

	var errs [5]error
	if o.seeds < 1 {
		errs[0] = errors.New("-seeds must be at least 1")
	}
	if *untuned {
		o.challenges, errs[1] = choose("only", *only, challenges, func(c challenge) string { return c.name })
	} else {
		o.workloads, errs[1] = choose("only", *only, workloads, func(w workload) string { return w.name })
	}
	o.limits, errs[2] = choose("limits", *limit, allLimits, func(l limits) string { return l.name })
	o.servers, errs[3] = choose("servers", *server, serverKinds, func(s string) string { return s })
	if flags.NArg() > 0 {
		errs[4] = fmt.Errorf("what is %q? There are flags only", flags.Arg(0))
	}
	err := errors.Join(errs[:]...)
	if err != nil {
		_, _ = fmt.Fprintln(w, err)
	}
	return o, err
}

// choose returns those of all whose names match the expression of a flag.
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
