package bulk

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner"
)

// version is that of the output's format.
const version = 1

// A resultLine is a line of the output: a result as the vendor's batch results have it, and a mark.
type resultLine struct {
	CustomID *string     `json:"custom_id"` // null if the row's could not be read
	Mark     *mark       `json:"bulk"`
	Response *response   `json:"response"` // null without one
	Error    *errorField `json:"error"`    // null for a success
}

// A mark says which row a line is the result of.
type mark struct {
	Version int `json:"version"`
	Line    int `json:"line"` // in the input

	// One of these has a digest: Request that of the request, Row that of an invalid row.
	Request string `json:"request,omitempty"`
	Row     string `json:"row,omitempty"`

	// Tokens of the prompt as counted, and as reported.
	Counted    int `json:"counted_tokens,omitempty"`
	Prompt     int `json:"prompt_tokens,omitempty"`
	Completion int `json:"completion_tokens,omitempty"`
}

type response struct {
	StatusCode int             `json:"status_code"`
	Body       json.RawMessage `json:"body"`
}

type errorField struct {
	Message   string `json:"message"`
	Retryable bool   `json:"retryable,omitempty"` // the row is sent again when the job is resumed
}

// encode returns the line with its end. A body that has line ends loses them. A body that is too deep
// for the line to be read again becomes a string.
func (l *resultLine) encode() ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(l)
	if err == nil && l.Response != nil && !json.Valid(b.Bytes()) {
		b.Reset()
		l.Response.Body = quoted(string(l.Response.Body))
		err = encoder.Encode(l)
	}
	if err != nil {
		return nil, fmt.Errorf("bulk: encode the result of line %d: %w", l.Mark.Line, err)
	}
	return b.Bytes(), nil
}

// errForeign reports a line that this package has not written.
var errForeign = errors.New(`not written by package bulk: must be a JSON object with the property "bulk"`)

// parseLine reads a line of an output.
func parseLine(text []byte) (*resultLine, error) {
	var l resultLine
	switch err := json.Unmarshal(text, &l); {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errForeign, err)
	case l.Mark == nil:
		return nil, errForeign
	case l.Mark.Version != version:
		return nil, fmt.Errorf("the version of the format is %d: must be %d", l.Mark.Version, version)
	case (l.Mark.Request == "") == (l.Mark.Row == "") || l.Mark.Row == "" && l.CustomID == nil:
		return nil, errForeign
	}
	return &l, nil
}

// row returns the key of the line's row, what was sent for it, and what became of it.
func (l *resultLine) row() (key, asked digest, s status, err error) {
	sum := l.Mark.Request
	switch {
	case l.Mark.Row != "":
		sum, key, s = l.Mark.Row, lineKey(l.Mark.Line), statusFailed
	case l.Error == nil:
		key, s = idKey(*l.CustomID), statusDone
	case l.Error.Retryable:
		key, s = idKey(*l.CustomID), statusAgain
	default:
		key, s = idKey(*l.CustomID), statusFailed
	}
	if n, err := hex.Decode(asked[:], []byte(sum)); err != nil || n != len(asked) {
		return key, asked, s, fmt.Errorf("the digest is %q: must be %d hexadecimal digits", sum, 2*len(asked))
	}
	return key, asked, s, nil
}

// idKey identifies a row by its id, lineKey one that has no id of its own by its line.
func idKey(id string) digest    { return sumOf([]byte("id " + id)) }
func lineKey(line int) digest   { return sumOf([]byte("line " + strconv.Itoa(line))) }
func (d digest) String() string { return hex.EncodeToString(d[:]) }

// failedLine returns the line of a row that failed. It has the API's response, or the answer that
// does not fit the schema.
func failedLine(id *string, m mark, err error, retryable bool) *resultLine {
	l := &resultLine{CustomID: id, Mark: &m, Error: &errorField{Message: err.Error(), Retryable: retryable}}
	var api *ratelimited.APIError
	var output *runner.OutputError
	switch {
	case errors.As(err, &api):
		l.Response = &response{StatusCode: api.StatusCode, Body: jsonOf(api.Body)}
	case errors.As(err, &output): // the answer was paid for
		l.Response = &response{StatusCode: 200, Body: jsonOf([]byte(output.Text))}
		for _, finding := range output.Findings {
			l.Error.Message += fmt.Sprintf("; %s: %s", finding.Pointer, finding.Rule)
		}
	}
	return l
}

// jsonOf returns a text as JSON: as it is, or as a string if it is not JSON.
func jsonOf(text []byte) json.RawMessage {
	if json.Valid(text) {
		return text
	}
	return quoted(string(text))
}

// quoted returns a text as a JSON string.
func quoted(text string) json.RawMessage {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // a string has no error
	return bytes.TrimSpace(b.Bytes())
}
