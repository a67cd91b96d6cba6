package ratelimited

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// withoutKey is a response as callers may have it: for its status and headers,
// and without the request's key.
func (s secret) redactResponse(resp *http.Response) *http.Response {
	copied := *resp
	copied.Status = s.redactText(resp.Status)
	copied.Header, copied.Trailer = s.redactHeader(resp.Header), nil
	copied.Body = http.NoBody
	if resp.Request != nil {
		copied.Request = resp.Request.Clone(context.Background())
		copied.Request.Header.Del("Authorization")
		copied.Request.Body, copied.Request.GetBody = nil, nil
	}
	return &copied
}

// build encodes the call's request, by way of the generated client, and counts its prompt.
func (c *call) build() error {
	var err error
	if c.op.body != nil {
		if c.body, err = c.op.body.MarshalJSON(); err != nil {
			return &RequestError{Operation: c.op.name, Field: "request", Err: err}
		}
	}
	c.api = generated.Client{Server: cmp.Or(c.options.baseURL, c.client.serverURL), Client: (*requestRecorder)(c)}
	if _, err = c.op.send(c.ctx, &c.api); c.request == nil {
		return &RequestError{Operation: c.op.name, Field: "params", Err: err}
	}
	return c.countPrompt()
}

// A requestKeeper is a call that keeps the request that the generated client has made,
// instead of sending it.
type requestRecorder call

// Do implements [generated.Doer].
func (c *requestRecorder) Do(req *http.Request) (*http.Response, error) {
	c.request = req
	return nil, errNotSent
}

var errNotSent = errors.New("not sent yet")

// newRequest returns the request of an attempt. It shares nothing with those of others: a
// transport may change what it is given.
func (c *call) newRequest(ctx context.Context) *http.Request {
	req := c.request.WithContext(ctx)
	address := *c.request.URL
	req.URL = &address
	accept := jsonType
	if c.op.stream {
		accept = streamType
	}
	own := []string{userAgent, accept, c.client.secret.authorization(), jsonType}
	header := make(http.Header, 4+len(c.options.header))
	header["User-Agent"], header["Accept"] = own[0:1:1], own[1:2:2]
	for name, values := range c.options.header {
		header[name] = slices.Clone(values)
	}
	header["Authorization"] = own[2:3:3]
	if c.body != nil {
		header["Content-Type"] = own[3:4:4]
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(c.body)), int64(len(c.body))
	}
	req.Header = header
	sendOnce(req, c.client.http2.Load())
	return req
}

const userAgent = "mistral-ratelimit-go"

// sendOnce keeps net/http from sending a request again by itself when the connection
// that it took from its pool turns out to be closed: it does so with requests whose
// body it can get again. An empty body is one that it cannot. Over HTTP/1.1 it finds
// out that the body is empty before it sends one, unless the method usually has one.
// Over HTTP/2 it would send an empty DATA frame, which some gateways take for content.
// So PUT and PATCH without a body, and over HTTP/2 all requests without one, may be
// sent again: gotConn takes another request of the permit for that.
func sendOnce(req *http.Request, http2 bool) {
	req.GetBody = nil
	if req.Body == nil && !http2 && (req.Method == http.MethodGet || req.Method == http.MethodDelete) {
		req.Body = emptyBody{}
		// Without it net/http would wait for a byte of the body, for up to 200 ms, and then
		// announce a chunked one: on a busy machine, where the read came too late.
		req.TransferEncoding = []string{"identity"}
	}
}

// emptyBody is like [http.NoBody], which net/http takes for no body.
type emptyBody struct{}

func (emptyBody) Read([]byte) (int, error) { return 0, io.EOF }
func (emptyBody) Close() error             { return nil }
