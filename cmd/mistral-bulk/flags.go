package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/bulk"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/plainflag"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner"
)

// A command holds the parsed arguments.
type command struct {
	streams
	input, output               string // the input "-" is the standard input
	lines, plan, json, emulator bool
	client                      ratelimited.Config
	options                     bulk.Options
}

// flagSet returns the flags of the command, which set fields of c.
func flagSet(c *command) *flag.FlagSet {
	flags := flag.NewFlagSet("mistral-bulk", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // parse reports errors with plainflag.Error
	rows := &c.options.Defaults
	flags.StringVar(&c.output, "o", "", "output `file`, which is also the journal: run the same command again to continue")
	flags.StringVar(&rows.Model, "model", "", "`name` of the model for rows without a model or an agent")
	flags.StringVar(&rows.AgentID, "agent", "", "`ID` of the agent for rows without a model or an agent; not together with -model")
	flags.Func("instructions", "`text` of the instructions, or @ and a file name", text(&rows.Instructions))
	flags.Func("max-tokens", "maximum number of completion `tokens` of a response (default unlimited)", pointer(&rows.CompletionArgs.MaxTokens, positiveInt))
	flags.Func("temperature", "sampling temperature, a `number` from 0 to 1 (default set by the model)", pointer(&rows.CompletionArgs.Temperature, plainflag.NonNegative))
	store := false
	rows.Store = &store
	flags.BoolVar(&store, "store", false, "have the API store the conversations")
	flags.Func("schema", "`file` with a JSON Schema for each answer; the results are the JSON objects", schema(&c.options))
	flags.Func("body", "`part` of the response in the results: response (all of it), text, or object (with -schema)", body(&c.options.Output))
	flags.Func("format", "`format` of the input: jsonl or lines (default lines for .txt files, otherwise jsonl)", format(&c.lines))
	flags.Func("rps", "rate limit of the account in `requests` per second, such as 1.2 (default learned, and so if -tpm is not set)", plainflag.Positive(&c.client.RequestsPerSecond))
	flags.Func("tpm", "rate limit of the account in `tokens` per minute (default learned, and so if -rps is not set)", positiveInt(&c.client.TokensPerMinute))
	flags.Func("timeout", "timeout of one HTTP request, a `duration` such as 90s (default 5m)", duration(&c.client.Timeout))
	flags.StringVar(&c.client.BaseURL, "base-url", "", "`URL` of the API, without /v1 (default https://api.mistral.ai)")
	flags.StringVar(&c.client.StateFile, "state", "", "`file` that keeps balances and learned limits between runs, or none (default one file per API key in the user's cache directory)")
	flags.BoolVar(&c.emulator, "emulator", false, "use the embedded emulator, without an API key or a network; -rps and -tpm set its limits")
	flags.BoolVar(&c.plan, "plan", false, "print the number of rows to send and the estimated duration, and send nothing")
	flags.Func("deadline", "`time` to stop at: a duration from now such as 3h, or a time such as 2026-10-31T08:00:00Z", deadline(&c.options.Deadline))
	flags.Func("budget-tokens", "maximum number of `tokens` to use in this run", positiveInt(&c.options.TokenBudget))
	flags.Func("max-rows", "maximum number of `rows` to send in this run", positiveInt(&c.options.MaxRows))
	flags.BoolVar(&c.json, "json", false, "print the plan, the progress and the summary as JSON lines")
	return flags
}

// parse parses the arguments. Flags may follow the input.
func parse(args []string) (*command, error) {
	c := &command{client: ratelimited.Config{Timeout: 5 * time.Minute}}
	flags := flagSet(c)
	var inputs []string
	for len(args) > 0 {
		if err := flags.Parse(args); err != nil {
			if !errors.Is(err, flag.ErrHelp) {
				err = plainflag.Error(flags, err)
			}
			return nil, err
		}
		if args = flags.Args(); len(args) > 0 {
			inputs, args = append(inputs, args[0]), args[1:]
		}
	}
	switch isSet := func(name string) (set bool) {
		flags.Visit(func(f *flag.Flag) { set = set || f.Name == name })
		return set
	}; {
	case len(inputs) == 0:
		return nil, errors.New(`no input: must be a file, or "-" for standard input`)
	case len(inputs) > 1:
		return nil, fmt.Errorf("unexpected argument %q: must be only one input", inputs[1])
	case c.output == "" && !c.plan:
		return nil, errors.New("-o: must be the name of the output file")
	case c.options.Defaults.Model != "" && c.options.Defaults.AgentID != "":
		return nil, errors.New("-agent: must not be set together with -model")
	case c.emulator && c.client.BaseURL != "":
		return nil, errors.New("-emulator: must not be set together with -base-url")
	case c.options.Output == bulk.OutputObject && c.options.Schema == nil:
		return nil, errors.New("-body: object must be used with -schema")
	case c.options.Schema != nil && !isSet("body"):
		c.options.Output = bulk.OutputObject
		fallthrough
	default:
		c.input = inputs[0]
		if !isSet("format") {
			c.lines = strings.EqualFold(filepath.Ext(c.input), ".txt")
		}
		c.client.LearnLimits = !isSet("rps") || !isSet("tpm")
	}
	if c.input != "-" && c.output != "" && sameFile(c.input, c.output) {
		return nil, fmt.Errorf("-o: %q is also the input: must be another file", c.output)
	}
	if state := c.client.StateFile; state != "" && state != noState { // the client overwrites this file
		switch {
		case c.input != "-" && sameFile(state, c.input):
			return nil, fmt.Errorf("-state: %q is also the input: must be another file", state)
		case c.output != "" && sameFile(state, c.output):
			return nil, fmt.Errorf("-state: %q is also the output: must be another file", state)
		}
	}
	return c, nil
}

func sameFile(a, b string) bool {
	first, err := os.Stat(a)
	second, err2 := os.Stat(b)
	if err != nil || err2 != nil { // at least one file does not exist, so compare the names
		return absolute(a) == absolute(b)
	}
	return os.SameFile(first, second)
}

func absolute(path string) string {
	if full, err := filepath.Abs(path); err == nil {
		return full
	}
	return filepath.Clean(path)
}

func positiveInt(into *int) func(string) error {
	return func(text string) error {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return errors.New("must be a positive whole number")
		}
		*into = n
		return nil
	}
}

// pointer sets a pointer field when the flag is set.
func pointer[T any](into **T, parse func(*T) func(string) error) func(string) error {
	return func(text string) error {
		*into = new(T)
		return parse(*into)(text)
	}
}

func duration(into *time.Duration) func(string) error {
	return func(text string) error {
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 {
			return errors.New("must be a duration such as 90s or 5m")
		}
		*into = d
		return nil
	}
}

func deadline(into *time.Time) func(string) error {
	return func(text string) error {
		var fromNow time.Duration
		if duration(&fromNow)(text) == nil {
			*into = time.Now().Add(fromNow)
			return nil
		}
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return errors.New("must be a positive duration such as 3h or a time such as 2026-10-31T08:00:00Z")
		}
		if !at.After(time.Now()) {
			return errors.New("must be in the future")
		}
		*into = at
		return nil
	}
}

func text(into *string) func(string) error {
	return func(text string) error {
		name, isFile := strings.CutPrefix(text, "@")
		if *into = text; !isFile {
			return nil
		}
		content, err := os.ReadFile(name)
		*into = string(content)
		return err
	}
}

// A schemaValue is a value that matches the schema of -schema.
type schemaValue struct{ json.RawMessage }

func schema(into *bulk.Options) func(string) error {
	return func(name string) error {
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		into.Schema = generated.JSONText(content)
		var invalid *runner.ConfigError
		if _, err := runner.Format[schemaValue](runner.SchemaOf[schemaValue](into.Schema), runner.Loose()); errors.As(err, &invalid) {
			_, finding, _ := strings.Cut(invalid.Rule, ": ") // behind the name of the type
			return fmt.Errorf("must be a file with a JSON Schema: %s", finding)
		}
		return nil
	}
}

func body(into *bulk.Output) func(string) error {
	return func(text string) error {
		outputs := map[string]bulk.Output{"response": bulk.OutputResponse, "text": bulk.OutputText, "object": bulk.OutputObject}
		output, ok := outputs[text]
		if !ok {
			return errors.New("must be response, text or object")
		}
		*into = output
		return nil
	}
}

func format(into *bool) func(string) error {
	return func(text string) error {
		if *into = text == "lines"; !*into && text != "jsonl" {
			return errors.New("must be jsonl or lines")
		}
		return nil
	}
}
