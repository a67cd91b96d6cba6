package main

import (
	"fmt"
	"io"
)

// usage prints the help text.
func usage(out io.Writer) {
	_, _ = fmt.Fprint(out, introduction+examples+"\nOptions:\n")
	flags := flagSet(new(command))
	flags.SetOutput(out)
	flags.PrintDefaults()
	_, _ = fmt.Fprint(out, formats)
}

const introduction = `Usage: mistral-bulk [options] input
       go run ./cmd/mistral-bulk [options] input     in a clone of the repository

Sends each row of the input to Mistral's Conversations API, within the rate limits of the
account, and writes the results to the output. To continue a job that was interrupted,
killed or stopped, run the same command again. The API key is read from the environment
variable MISTRAL_API_KEY.
`

const examples = `
Examples:
  mistral-bulk -model mistral-small-latest -o out.jsonl in.jsonl
  mistral-bulk -plan -model mistral-small-latest -o out.jsonl in.jsonl       estimate the duration
  mistral-bulk -emulator -model mistral-small-latest -o out.jsonl in.jsonl   without an API key
  mistral-bulk -rps 1.2 -tpm 100000 -model mistral-small-latest -o out.jsonl in.jsonl
  mistral-bulk -model mistral-small-latest -instructions @rules.txt -body text -o out.jsonl in.txt
  mistral-bulk -model mistral-small-latest -schema invoice.json -temperature 0 -o out.jsonl in.jsonl
  mistral-bulk -agent ag_123 -store -max-tokens 500 -timeout 90s -o out.jsonl in.jsonl
  mistral-bulk -model mistral-small-latest -deadline 3h -budget-tokens 2000000 -max-rows 1000 -o out.jsonl in.jsonl
  mistral-bulk -base-url http://127.0.0.1:8585 -state none -model mistral-small-latest -json -o out.jsonl in.jsonl
  cat in.txt | mistral-bulk -format lines -model mistral-small-latest -o out.jsonl -
`

const formats = `
Input with -format jsonl: one JSON object per line. The body is that of POST /v1/conversations:
  {"custom_id": "a", "body": {"model": "mistral-small-latest", "inputs": "Hello!"}}
  {"id": "b", "prompt": "Hello!"}
Input with -format lines: one prompt per line. The line number is the ID.

Output: one line per row, in the order of completion:
  {"custom_id":"a","bulk":{…},"response":{"status_code":200,"body":{…}},"error":null}
With -body text, the body is the text of the answer. With -schema, it is the JSON object.
The property "bulk" identifies the request, so that a changed row is sent again. After a
change of a setting for all rows, such as -model, use another output.

After the first interrupt (Ctrl-C), the command waits for the calls in flight and stops.
The second interrupt cancels these calls.

Exit status:
  0  all rows have a response
  1  some rows failed
  2  an option is invalid
  3  the job stopped before the end
  4  an error ended the job
After 3 and 4, run the same command again to continue. After 1, this sends the rows again that
failed temporarily.

See docs/bulk.md for more.
`
