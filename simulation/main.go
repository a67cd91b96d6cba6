package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"testing"
)

func main() {
	o, err := parse(os.Args[1:], os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		os.Exit(2)
	}
	runInTest(func(t *testing.T) (status int) {
		if err := report(t, o, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "simulation:", err)
			return 1
		}
		return 0
	})
}
