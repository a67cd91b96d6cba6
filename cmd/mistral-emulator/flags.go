package main

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/plainflag"
)

// whole returns a function for [flag.Func] that sets a whole number of at least 0.
func whole(into *int) func(string) error {
	return func(text string) error {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return errors.New("must be a positive whole number") // 0 turns a limit off
		}
		*into = n
		return nil
	}
}

func seed(into *uint64) func(string) error {
	return func(text string) error {
		n, err := strconv.ParseUint(text, 0, 64)
		if err != nil {
			return errors.New("must be a whole number of at least 0")
		}
		*into = n
		return nil
	}
}

func duration(into *time.Duration) func(string) error {
	return func(text string) error {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return errors.New("must be a time such as 300ms or 2s")
		}
		*into = d
		return nil
	}
}

// listFlag returns a function for [flag.Func] that appends each value to a list.
func listFlag(into *[]string) func(string) error {
	return func(text string) error {
		*into = append(*into, text)
		return nil
	}
}

// limitFlag returns a function for [flag.Func] that parses "name=a/b" into a map.
func limitFlag[T any](into *map[string]T, parse func(a, b string) (T, error)) func(string) error {
	return func(text string) error {
		name, values, hasName := strings.Cut(text, "=")
		first, second, hasBoth := strings.Cut(values, "/")
		if !hasName || !hasBoth || name == "" {
			return errors.New("must be a name and two numbers, such as name=5/100")
		}
		limit, err := parse(first, second)
		if err != nil {
			return err
		}
		if *into == nil {
			*into = map[string]T{}
		}
		(*into)[name] = limit
		return nil
	}
}

func parseLimit(rps, tpm string) (l emulator.Limit, err error) {
	if plainflag.Limit(&l.RequestsPerSecond)(rps) != nil || whole(&l.TokensPerMinute)(tpm) != nil {
		return l, errors.New("must have requests per second and a whole number of tokens per minute, such as model=0.08/50000")
	}
	return l, nil
}

func parseToolLimit(minute, day string) (l emulator.ToolLimit, err error) {
	if whole(&l.PerMinute)(minute) != nil || whole(&l.PerDay)(day) != nil {
		return l, errors.New("must have two positive whole numbers, such as web_search=5/100")
	}
	return l, nil
}
