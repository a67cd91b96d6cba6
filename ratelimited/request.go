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

// redactResponse returns a copy of a response for the caller: its status and headers, without the API key.
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

// build encodes the call's request with the generated client, and counts its prompt.
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

// A requestRecorder is a call that records the request of the generated client instead of sending it.
type requestRecorder call

// Do implements [generated.Doer].
func (c *requestRecorder) Do(req *http.Request) (*http.Response, error) {
	c.request = req
	return nil, errNotSent
}

var errNotSent = errors.New("not sent yet")

// newRequest returns the request of an attempt. It does not share memory with the requests of other attempts,
// because a transport may change it.
func (c *call) newRequest(ctx context.Context) *http.Request {
	req := c.request.WithContext(ctx)
	address := *c.request.URL
	req.URL = &address
	accept := jsonType
	if c.op.stream {
		accept = streamType
	}
	values := []string{userAgent, accept, c.client.secret.authorization(), jsonType}
	header := make(http.Header, 4+len(c.options.header))
	header["User-Agent"], header["Accept"] = values[0:1:1], values[1:2:2]
	for name, given := range c.options.header {
		header[name] = slices.Clone(given)
	}
	header["Authorization"] = values[2:3:3]
	if c.body != nil {
		header["Content-Type"] = values[3:4:4]
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(c.body)), int64(len(c.body))
	}
	req.Header = header
	sendOnce(req, c.client.http2.Load())
	return req
}

const userAgent = "mistral-ratelimit-go"

// sendOnce prevents net/http from sending a request again by itself when a pooled connection turns out to be
// closed. net/http does so if it can get the body again, which includes requests without a body. An
// empty body that is not http.NoBody prevents it. Over HTTP/1.1, net/http detects that this body is empty
// before it sends one, except for methods that usually have a body. Over HTTP/2 it would send an empty
// DATA frame, which some gateways treat as content. So PUT and PATCH requests without a body, and all
// requests without a body over HTTP/2, can be sent again: gotConn then takes another request of the permit.
func sendOnce(req *http.Request, http2 bool) {
	req.GetBody = nil
	if req.Body == nil && !http2 && (req.Method == http.MethodGet || req.Method == http.MethodDelete) {
		req.Body = emptyBody{}
		// Otherwise net/http waits up to 200 ms for a byte of the body. On a busy machine it may
		// give up before the read, and announce a chunked body.
		req.TransferEncoding = []string{"identity"}
	}
}

// emptyBody is an empty body that net/http does not recognize as one, unlike [http.NoBody].
type emptyBody struct{}

func (emptyBody) Read([]byte) (int, error) { return 0, io.EOF }
func (emptyBody) Close() error             { return nil }
