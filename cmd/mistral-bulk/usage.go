package main

import (
	"fmt"
	"io"
)

// usage says all that a user of the command needs.
func usage(out io.Writer) {
	_, _ = fmt.Fprint(out, introduction+examples+"\nOptions:\n")
	flags := flagSet(new(command))
	flags.SetOutput(out)
	flags.PrintDefaults()
	_, _ = fmt.Fprint(out, formats)
}

const introduction = `Usage: mistral-bulk [options] input
       go run ./cmd/mistral-bulk [options] input     in a copy of the module

Sends each row of the input to Mistral's Conversations API at the pace of the account's
limits, and writes the results to the output. Killed, interrupted or stopped, it goes on
with the same command. The key comes from MISTRAL_API_KEY.
`

const examples = `
Examples:
  mistral-bulk -model mistral-small-latest -o out.jsonl in.jsonl
  mistral-bulk -plan -model mistral-small-latest -o out.jsonl in.jsonl       how long will it take?
  mistral-bulk -emulator -model mistral-small-latest -o out.jsonl in.jsonl   without a key
  mistral-bulk -rps 1.2 -tpm 100000 -model mistral-small-latest -o out.jsonl in.jsonl
  mistral-bulk -model mistral-small-latest -instructions @rules.txt -body text -o out.jsonl in.txt
  mistral-bulk -model mistral-small-latest -schema invoice.json -temperature 0 -o out.jsonl in.jsonl
  mistral-bulk -agent ag_123 -store -max-tokens 500 -timeout 90s -o out.jsonl in.jsonl
  mistral-bulk -model mistral-small-latest -deadline 3h -budget-tokens 2000000 -max-rows 1000 -o out.jsonl in.jsonl
  mistral-bulk -base-url http://127.0.0.1:8585 -state none -model mistral-small-latest -json -o out.jsonl in.jsonl
  cat in.txt | mistral-bulk -format lines -model mistral-small-latest -o out.jsonl -
`

const formats = `
Input (-format jsonl), a row on each line; the body is that of POST /v1/conversations:
  {"custom_id": "a", "body": {"model": "mistral-small-latest", "inputs": "Hello!"}}
  {"id": "b", "prompt": "Hello!"}
With -format lines each line is a prompt, and its number the id.

Output, a line for each row, in the order in which they end:
  {"custom_id":"a","bulk":{…},"response":{"status_code":200,"body":{…}},"error":null}
With -body text the body is the text of the answer, with -schema the object. "bulk" says
what was sent: a row that has changed is sent again. After a change of settings that all rows
share, such as -model, use another output.

An interrupt (Ctrl-C) lets the calls in flight end, a second one cancels them.
Exit status: 0 all rows have a response, 1 some have failed, 2 wrong option, 3 stopped
before the end, 4 an error ended the job. After 1, 3 and 4 the same command goes on.
More: docs/bulk.md
`
