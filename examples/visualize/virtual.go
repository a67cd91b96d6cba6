package main

import (
	"context"
	"testing"
	"testing/synctest"
)

// inVirtualTime runs f with testing/synctest. Time advances when all goroutines are blocked, so
// ten seconds take some milliseconds. Package synctest needs a *testing.T, which only
// testing.Main creates. Main would exit the program after the test, so the test blocks forever.
func inVirtualTime(f func(context.Context) error) error {
	testing.Init()
	done := make(chan error)
	test := func(t *testing.T) {
		var err error
		synctest.Test(t, func(t *testing.T) { err = f(t.Context()) })
		done <- err
		select {}
	}
	all := func(string, string) (bool, error) { return true, nil }
	go testing.Main(all, []testing.InternalTest{{Name: "visualize", F: test}}, nil, nil)
	return <-done
}
