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

// recorder passes requests on and marks what they and their replies exercise. A reply
// is passed on when all of it has come.
type recorder struct {
	base       http.RoundTripper
	doc        *document
	operations map[string]operation

	mu    sync.Mutex
	marks marks
	body  []byte // of the latest reply
	err   error  // the first thing that could not be read
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

// exercised returns what was marked.
func (r *recorder) exercised() (marks, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.marks, r.err
}

func (r *recorder) walker(w way) walker { return walker{r.doc, r.marks, w} }

// latest returns the body of the latest reply.
func (r *recorder) latest() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.body
}

// RoundTrip sends a request whose body, if any, can be had again.
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
	reply, err := r.base.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	got, err := io.ReadAll(reply.Body)
	if err := errors.Join(err, reply.Body.Close()); err != nil {
		return nil, err
	}
	reply.Body = io.NopCloser(bytes.NewReader(got))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.body = got
	if err := r.record(request, body, reply, got); err != nil && r.err == nil {
		r.err = fmt.Errorf("%s %s: %w", request.Method, request.URL, err)
	}
	return reply, nil
}

func (r *recorder) record(request *http.Request, text []byte, reply *http.Response, got []byte) error {
	found, violations := contract.Default().CheckRequest(request, text)
	if found == nil {
		return errors.New("no such operation")
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
		if reply.StatusCode < http.StatusBadRequest {
			r.marks.add(operationKind, name)
		}
	}
	return r.reply(op, name, reply, got)
}

// request goes through a valid request. One that is not exercises nothing of the
// schemas that it breaks.
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

func (r *recorder) reply(op operation, name string, reply *http.Response, got []byte) error {
	status := strconv.Itoa(reply.StatusCode)
	declared, ok := op.replies[status]
	if !ok {
		return nil // There is nothing of it in the document.
	}
	media := ""
	if len(got) > 0 {
		var err error
		if media, _, err = mime.ParseMediaType(reply.Header.Get("Content-Type")); err != nil {
			return err
		}
	}
	r.marks.add(replyKind, replyName(name, status, media))
	schema := declared.child("content").child(media).child("schema")
	switch media {
	case mediaEvents:
		return r.events(schema, string(got))
	case mediaJSON:
		var value any
		if err := json.Unmarshal(got, &value); err != nil {
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

// frames cuts a stream as the emulator writes it: package contract sees that it is
// well-formed.
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
