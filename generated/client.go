package generated

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/oapi-codegen/runtime"
)

// Client sends requests without rate limiting or retries. Use package ratelimited.
type Client struct {
	// Server is the URL that the paths of the operations are appended to, such as
	// https://api.mistral.ai.
	Server string
	// Client sends the requests, such as an [*http.Client] that adds the API key.
	Client Doer
}

// Doer sends an HTTP request. An [*http.Client] is a Doer.
type Doer interface {
	Do(req *http.Request) (*http.Response, error)
}

// A request is what a method of [Client] sends. The first parameter that cannot be
// encoded fails it.
type request struct {
	method string
	path   string
	query  []string
	err    error
}

// pathParameter replaces {name} in the path. An encoded value contains no braces.
func (r *request) pathParameter(style string, explode bool, name string, value any) { //nolint:unparam // the document says the style
	r.path = strings.Replace(r.path, "{"+name+"}", r.styled(runtime.ParamLocationPath, style, explode, name, value), 1)
}

// queryParameter adds a parameter to the query. An empty list adds nothing.
func (r *request) queryParameter(style string, explode bool, name string, value any) { //nolint:unparam // as above
	if text := r.styled(runtime.ParamLocationQuery, style, explode, name, value); text != "" {
		r.query = append(r.query, text)
	}
}

// jsonParameter adds a parameter whose value is one JSON text to the query.
func (r *request) jsonParameter(name string, value any) {
	text, err := json.Marshal(value)
	r.fail(err)
	r.query = append(r.query, url.QueryEscape(name)+"="+url.QueryEscape(string(text)))
}

func (r *request) styled(location runtime.ParamLocation, style string, explode bool, name string, value any) string {
	text, err := runtime.StyleParamWithOptions(style, explode, name, value, runtime.StyleParamOptions{ParamLocation: location})
	r.fail(err)
	return text
}

func (r *request) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// send sends a request. An empty content type means that it has no content.
func (c *Client) send(ctx context.Context, r request, contentType string, content io.Reader) (*http.Response, error) {
	if r.err != nil {
		return nil, r.err
	}
	target := strings.TrimSuffix(c.Server, "/") + r.path
	if len(r.query) > 0 {
		target += "?" + strings.Join(r.query, "&")
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, content)
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	return c.Client.Do(req)
}
