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

// A request is the HTTP request that a method of [Client] sends.
type request struct {
	method string
	path   string
	query  []string
	err    error // of the first parameter that cannot be encoded
}

// pathParameter replaces {name} in the path. Encoded values do not contain braces.
func (r *request) pathParameter(style string, explode bool, name string, value any) { //nolint:unparam // the OpenAPI document sets the style
	r.path = strings.Replace(r.path, "{"+name+"}", r.encode(runtime.ParamLocationPath, style, explode, name, value), 1)
}

// queryParameter adds a parameter to the query. An empty list adds nothing.
func (r *request) queryParameter(style string, explode bool, name string, value any) { //nolint:unparam // the OpenAPI document sets the style
	if text := r.encode(runtime.ParamLocationQuery, style, explode, name, value); text != "" {
		r.query = append(r.query, text)
	}
}

// jsonParameter adds a query parameter whose value is encoded as JSON.
func (r *request) jsonParameter(name string, value any) {
	text, err := json.Marshal(value)
	r.fail(err)
	r.query = append(r.query, url.QueryEscape(name)+"="+url.QueryEscape(string(text)))
}

// encode returns the parameter in an OpenAPI style. If encoding fails, it sets r.err.
func (r *request) encode(location runtime.ParamLocation, style string, explode bool, name string, value any) string {
	text, err := runtime.StyleParamWithOptions(style, explode, name, value, runtime.StyleParamOptions{ParamLocation: location})
	r.fail(err)
	return text
}

// fail sets r.err unless it is already set.
func (r *request) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// send sends a request. If contentType is empty, the request does not have content.
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
