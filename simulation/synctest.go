package main

import (
	"flag"
	"os"
	"testing"
)

// runInTest calls f with a [testing.T], which testing/synctest requires and only package testing can
// create. It exits with the status of f, because testing.Main would print PASS below the table.
func runInTest(f func(t *testing.T) (status int)) {
	testing.Init()
	_ = flag.CommandLine.Parse(nil) // leaves the flags of go test at their defaults
	all := func(string, string) (bool, error) { return true, nil }
	testing.Main(all, []testing.InternalTest{{Name: "simulation", F: func(t *testing.T) { os.Exit(f(t)) }}}, nil, nil)
}
