package main

import (
	"flag"
	"os"
	"testing"
)

// inTest calls f with what testing/synctest wants and only package testing can
// make, and ends the program with the status that f returns. It does so itself,
// since testing.Main would say PASS below the table.
func inTest(f func(t *testing.T) (status int)) {
	testing.Init()
	_ = flag.CommandLine.Parse(nil) // the flags of go test keep their defaults
	all := func(string, string) (bool, error) { return true, nil }
	testing.Main(all, []testing.InternalTest{{Name: "simulation", F: func(t *testing.T) { os.Exit(f(t)) }}}, nil, nil)
}
