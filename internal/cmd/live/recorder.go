package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
)

// recorder writes each exchange to a file, without the API key and the ids of the account.
type recorder struct {
	base        http.RoundTripper
	key, folder string

	mu       sync.Mutex
	question string
	count    int
	limits   []string // The token limits in the headers of each response.
	err      error    // The first error of writing a file.
}

// exchange is a request and its response, as written to a file.
type exchange struct {
	Question string            `json:"question"`
	Method   string            `json:"method"`
	Path     string            `json:"path"`
	Request  json.RawMessage   `json:"request,omitempty"`
	Status   int               `json:"status"`
	Header   map[string]string `json:"header,omitempty"`
	Response string            `json:"response"`
}

func (r *recorder) setQuestion(question string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.question = question
}

// RoundTrip implements [http.RoundTripper].
func (r *recorder) RoundTrip(request *http.Request) (*http.Response, error) {
	var sent []byte
	if request.Body != nil {
		body, err := io.ReadAll(request.Body)
		if err := errors.Join(err, request.Body.Close()); err != nil {
			return nil, err
		}
		sent = body
		request = request.Clone(request.Context())
		request.Body = io.NopCloser(bytes.NewReader(body))
	}
	response, err := r.base.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	x := &exchange{Method: request.Method, Path: request.URL.RequestURI(), Status: response.StatusCode, Header: headerOf(response.Header)}
	if len(sent) > 0 {
		x.Request = sent
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	x.Question = r.question
	r.count++
	r.limits = append(r.limits, limitsOf(response.Header))
	response.Body = &recordedBody{ReadCloser: response.Body, recorder: r, exchange: x, number: r.count}
	return response, nil
}

// recordedBody records the read bytes and writes the exchange on Close.
type recordedBody struct {
	io.ReadCloser
	recorder *recorder
	exchange *exchange
	number   int
	read     bytes.Buffer
	once     sync.Once
}

func (b *recordedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.read.Write(p[:n])
	return n, err
}

func (b *recordedBody) Close() error {
	err := b.ReadCloser.Close()
	b.once.Do(func() {
		b.exchange.Response = b.read.String()
		b.recorder.write(b.number, b.exchange)
	})
	return err
}

var (
	owner    = regexp.MustCompile(`("(?:owner_id|organization_id|workspace_id|user_id)"\s*:\s*)"[^"]*"`)
	fileName = regexp.MustCompile(`[^a-z0-9]+`)
)

func (r *recorder) write(number int, x *exchange) {
	if r.folder == "" {
		return
	}
	x.Response = owner.ReplaceAllString(x.Response, `$1"redacted"`)
	text, err := json.MarshalIndent(x, "", "  ")
	if err == nil {
		if r.key != "" {
			text = bytes.ReplaceAll(text, []byte(r.key), []byte("redacted"))
		}
		name := fmt.Sprintf("%02d-%s.json", number, strings.Trim(fileName.ReplaceAllString(strings.ToLower(x.Question), "-"), "-"))
		err = os.WriteFile(filepath.Join(r.folder, name), append(text, '\n'), 0o600)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = err
	}
}

// headerOf returns the recorded header fields.
func headerOf(header http.Header) map[string]string {
	recorded := map[string]string{}
	for name := range header {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-ratelimit-") || lower == "retry-after" || lower == "content-type" {
			recorded[lower] = header.Get(name)
		}
	}
	return recorded
}

// limitsOf returns the remaining tokens and the token limit per minute in a header.
func limitsOf(header http.Header) string {
	limit, remaining := header.Get("X-Ratelimit-Limit-Tokens-Minute"), header.Get("X-Ratelimit-Remaining-Tokens-Minute")
	if limit == "" && remaining == "" {
		return ""
	}
	return remaining + " of " + limit
}

// latestLimits returns the limits in the latest response.
func (r *recorder) latestLimits() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.limits) == 0 {
		return ""
	}
	return r.limits[len(r.limits)-1]
}
