package main

import (
	"context"
	"testing"
	"testing/synctest"
)

// inVirtualTime runs f in a bubble of testing/synctest, where time passes when there
// is nothing else to do: ten seconds take some milliseconds. A bubble wants a test, which
// only package testing can make, and that would end the program after it; so its
// goroutine is left where it is.
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
