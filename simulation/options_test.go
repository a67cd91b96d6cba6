package main

import (
	"errors"
	"flag"
	"io"
	"strings"
	"testing"
)

func TestOptions(t *testing.T) {
	for _, test := range []struct {
		args                                   string
		limits, workloads, challenges, servers int
		seeds                                  uint64
		chart                                  string
	}{
		{"", 3, 7, 0, 5, 5, "chart.svg"},
		{"-seeds 2 -o x.png", 3, 7, 0, 5, 2, "x.png"},
		{"-only uniform|cold", 3, 2, 0, 5, 5, ""},
		{"-limits tpm -o x.svg", 1, 7, 0, 5, 5, "x.svg"},
		{"-servers ^(bucket|fixed)$", 3, 7, 0, 2, 5, ""},
		{"-challenges -only ^wide", 3, 0, 3, 5, 5, ""},
	} {
		o, err := parse(strings.Fields(test.args), io.Discard)
		if err != nil || len(o.limits) != test.limits || len(o.workloads) != test.workloads || len(o.challenges) != test.challenges ||
			len(o.servers) != test.servers || o.seeds != test.seeds || o.chart != test.chart || o.length != lengthOfRun {
			t.Errorf("%q: options %+v, want %+v; error %v", test.args, o, test, err)
		}
	}
	for args, want := range map[string]string{
		"-seeds 0":               "at least 1",
		"-seeds x":               "-seeds",
		"-only nothing":          `-only: no name matches "nothing"`,
		"-challenges -only cold": `-only: no name matches "cold"`,
		"-limits (":              "-limits: ",
		"-servers -":             "-servers: no name",
		"everything":             `unexpected argument "everything"`,
	} {
		var out strings.Builder
		if _, err := parse(strings.Fields(args), &out); err == nil || !strings.Contains(out.String(), want) {
			t.Errorf("%q: error %v, printed %q, want %q", args, err, out.String(), want)
		}
	}
	if _, err := parse([]string{"-h"}, io.Discard); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-h: error %v, want ErrHelp", err)
	}
}
