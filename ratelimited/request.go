package ratelimited

import (
	"context"
	"io"
	"net/http"
	"slices"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// withoutKey is a response as callers may have it: for its status and headers,
// and without the request's key.
func (s secret) withoutKey(resp *http.Response) *http.Response {
	copied := *resp
	copied.Status = s.text(resp.Status)
	copied.Header, copied.Trailer = s.header(resp.Header), nil
	copied.Body = http.NoBody
	if resp.Request != nil {
		copied.Request = resp.Request.Clone(context.Background())
		copied.Request.Header.Del("Authorization")
		copied.Request.Body, copied.Request.GetBody = nil, nil
	}
	return &copied
}

// api is the generated client for the call's server.
func (f *flight) api() *generated.Client {
	if f.options.baseURL == "" {
		return f.client.api
	}
	other := *f.client.api
	other.Server = f.options.baseURL
	return &other
}

// edit completes a request that the generated client has made.
func (f *flight) edit(_ context.Context, req *http.Request) error {
	f.path = req.URL.Path
	sendOnce(req, f.client.http2.Load())
	accept := jsonType
	if f.op.stream {
		accept = streamType
	}
	// The request's own: a transport may change what it is given.
	own := []string{userAgent, accept, f.client.secret.authorization()}
	header := req.Header
	header["User-Agent"], header["Accept"] = own[0:1:1], own[1:2:2]
	for name, values := range f.options.header {
		header[name] = slices.Clone(values)
	}
	header["Authorization"] = own[2:3:3]
	return nil
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
	}
}

// emptyBody is like [http.NoBody], which net/http takes for no body.
type emptyBody struct{}

func (emptyBody) Read([]byte) (int, error) { return 0, io.EOF }
func (emptyBody) Close() error             { return nil }
