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

// version is the version of the output's format.
const version = 1

// A resultLine is a line of the output: a batch result of the vendor's format and a mark.
type resultLine struct {
	CustomID *string     `json:"custom_id"` // null if the row's ID could not be read
	Mark     *mark       `json:"bulk"`
	Response *response   `json:"response"` // null without a response
	Error    *errorField `json:"error"`    // null for a success
}

// A mark identifies the row of a line.
type mark struct {
	Version int `json:"version"`
	Line    int `json:"line"` // the line in the input

	// Either Request is the digest of the request, or Row is the digest of an invalid row.
	Request string `json:"request,omitempty"`
	Row     string `json:"row,omitempty"`

	// The tokens of the prompt as counted by the client, and the tokens that the API reported.
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
	Retryable bool   `json:"retryable,omitempty"` // whether the row is sent again when the job continues
}

// encode returns the line with a line break. It removes line breaks from the body. If the body is
// nested too deeply to be read again, it becomes a string.
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

// errNotBulk reports a line that this package did not write.
var errNotBulk = errors.New(`not written by package bulk: must be a JSON object with the property "bulk"`)

// parseLine parses a line of an output.
func parseLine(text []byte) (*resultLine, error) {
	var l resultLine
	switch err := json.Unmarshal(text, &l); {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errNotBulk, err)
	case l.Mark == nil:
		return nil, errNotBulk
	case l.Mark.Version != version:
		return nil, fmt.Errorf("the format version is %d: must be %d", l.Mark.Version, version)
	case (l.Mark.Request == "") == (l.Mark.Row == "") || l.Mark.Row == "" && l.CustomID == nil:
		return nil, errNotBulk
	}
	return &l, nil
}

// row returns the key of the row, the digest of its request, and its status.
func (l *resultLine) row() (key, requestDigest digest, s status, err error) {
	sum := l.Mark.Request
	switch {
	case l.Mark.Row != "":
		sum, key, s = l.Mark.Row, lineKey(l.Mark.Line), statusFailed
	case l.Error == nil:
		key, s = idKey(*l.CustomID), statusDone
	case l.Error.Retryable:
		key, s = idKey(*l.CustomID), statusRetry
	default:
		key, s = idKey(*l.CustomID), statusFailed
	}
	decoded, err := hex.DecodeString(sum)
	if err != nil || len(decoded) != len(requestDigest) {
		return key, requestDigest, s, fmt.Errorf("the digest is %q: must have %d hexadecimal digits", sum, 2*len(requestDigest))
	}
	return key, digest(decoded), s, nil
}

// idKey identifies a row by its ID. lineKey identifies a row without a valid ID by its line.
func idKey(id string) digest    { return sumOf([]byte("id " + id)) }
func lineKey(line int) digest   { return sumOf([]byte("line " + strconv.Itoa(line))) }
func (d digest) String() string { return hex.EncodeToString(d[:]) }

// failedLine returns the line of a failed row. It contains the API's response, or the answer that
// does not match the schema.
func failedLine(id *string, m mark, err error, retryable bool) *resultLine {
	l := &resultLine{CustomID: id, Mark: &m, Error: &errorField{Message: err.Error(), Retryable: retryable}}
	var api *ratelimited.APIError
	var output *runner.OutputError
	switch {
	case errors.As(err, &api):
		l.Response = &response{StatusCode: api.StatusCode, Body: jsonOf(api.Body)}
	case errors.As(err, &output): // keep the answer, because its tokens were billed
		l.Response = &response{StatusCode: 200, Body: jsonOf([]byte(output.Text))}
		for _, finding := range output.Findings {
			l.Error.Message += fmt.Sprintf("; %s: %s", finding.Pointer, finding.Rule)
		}
	}
	return l
}

// jsonOf returns a text unchanged if it is JSON, and otherwise as a JSON string.
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
	_ = encoder.Encode(text) // encoding a string cannot fail
	return bytes.TrimSpace(b.Bytes())
}
