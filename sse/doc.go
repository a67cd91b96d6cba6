// Package sse decodes event streams: the text/event-stream format of
// server-sent events, in which the API sends its streamed replies.
//
// A [Decoder] cuts the bytes of a response body into frames, by the rules of the
// WHATWG HTML standard ("Server-sent events", "Interpreting an event stream",
// https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation).
// A [Frame] is delivered as soon as the blank line that ends it has been read.
// Nothing is held back for the bytes that may follow.
package sse
