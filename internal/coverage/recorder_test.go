package coverage_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/contract"
)

// recorder is a transport that marks the items that requests and responses exercise. It
// reads the whole response before it returns it.
type recorder struct {
	base       http.RoundTripper
	doc        *document
	operations map[string]operation

	mu    sync.Mutex
	marks marks
	body  []byte // of the latest response
	err   error  // the first error of record
}

func newRecorder(doc *document, base http.RoundTripper) (*recorder, error) {
	list, err := doc.operations()
	if err != nil {
		return nil, err
	}
	r := &recorder{base: base, doc: doc, operations: map[string]operation{}, marks: marks{}}
	for _, op := range list {
		r.operations[op.id] = op
	}
	return r, nil
}

// exercised returns the marked items, or the first error.
func (r *recorder) exercised() (marks, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.marks, r.err
}

func (r *recorder) walker(d direction) walker { return walker{r.doc, r.marks, d} }

// latest returns the body of the latest response.
func (r *recorder) latest() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.body
}

// RoundTrip sends a request and records it with its response.
func (r *recorder) RoundTrip(request *http.Request) (*http.Response, error) {
	var body []byte
	if request.Body != nil {
		var err error
		if body, err = io.ReadAll(request.Body); err != nil {
			return nil, err
		}
		request = request.Clone(request.Context())
		request.Body = io.NopCloser(bytes.NewReader(body))
	}
	response, err := r.base.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return nil, err
	}
	response.Body = io.NopCloser(bytes.NewReader(content))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.body = content
	if err := r.record(request, body, response, content); err != nil && r.err == nil {
		r.err = fmt.Errorf("%s %s: %w", request.Method, request.URL, err)
	}
	return response, nil
}

func (r *recorder) record(request *http.Request, text []byte, response *http.Response, content []byte) error {
	found, violations := contract.Default().CheckRequest(request, text)
	if found == nil {
		return errors.New("unknown operation")
	}
	op := r.operations[found.ID]
	var body any
	if len(text) > 0 {
		if err := json.Unmarshal(text, &body); err != nil {
			return err
		}
	}
	name := op.id
	if object, ok := body.(map[string]any); ok && object["stream"] == true {
		name = streamed(op.id)
	}
	if violations == nil {
		if err := r.request(op, request, body); err != nil {
			return err
		}
		if response.StatusCode < http.StatusBadRequest {
			r.marks.add(operationKind, name)
		}
	}
	return r.response(op, name, response, content)
}

// request marks the items of a valid request. An invalid request does not exercise the
// schemas that it violates.
func (r *recorder) request(op operation, request *http.Request, body any) error {
	segments := strings.Split(request.URL.Path, "/")
	query := request.URL.Query()
	for _, p := range op.parameters {
		name := p.text("name")
		values := query[name]
		for i, segment := range op.path {
			if p.text("in") == "path" && segment == "{"+name+"}" {
				values = segments[i : i+1]
			}
		}
		if len(values) == 0 {
			continue
		}
		r.marks.add(parameterKind, op.id+" "+name)
		if err := r.walker(sent).parameter(p, values); err != nil {
			return err
		}
	}
	if body == nil {
		return nil
	}
	return r.walker(sent).walk(op.request, body)
}

func (r *recorder) response(op operation, name string, response *http.Response, content []byte) error {
	status := strconv.Itoa(response.StatusCode)
	declared, ok := op.responses[status]
	if !ok {
		return nil // The document does not declare the status.
	}
	media := ""
	if len(content) > 0 {
		var err error
		if media, _, err = mime.ParseMediaType(response.Header.Get("Content-Type")); err != nil {
			return err
		}
	}
	r.marks.add(responseKind, responseName(name, status, media))
	schema := declared.child("content").child(media).child("schema")
	switch media {
	case mediaEvents:
		return r.events(schema, string(content))
	case mediaJSON:
		var value any
		if err := json.Unmarshal(content, &value); err != nil {
			return err
		}
		return r.walker(received).walk(schema, value)
	}
	return nil
}

func (r *recorder) events(schema node, stream string) error {
	for _, f := range frames(stream) {
		r.marks.add(eventKind, f.event)
		var data any
		if err := json.Unmarshal([]byte(f.data), &data); err != nil {
			return err
		}
		if err := r.walker(received).walk(schema, map[string]any{"event": f.event, "data": data}); err != nil {
			return err
		}
	}
	return nil
}

type frame struct{ event, data string }

// frames splits a stream into frames, as the emulator writes them. Package contract checks
// that the stream is well-formed.
func frames(stream string) []frame {
	var list []frame
	for text := range strings.SplitSeq(strings.TrimSuffix(stream, "\n\n"), "\n\n") {
		var f frame
		for line := range strings.SplitSeq(text, "\n") {
			field, value, _ := strings.Cut(line, ": ")
			switch field {
			case "event":
				f.event = value
			case "data":
				f.data = value
			}
		}
		list = append(list, f)
	}
	return list
}
