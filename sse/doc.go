// Package sse decodes event streams: the text/event-stream format of
// server-sent events, in which the API sends its streamed replies.
//
// A [Decoder] cuts the bytes of a response body into frames, by the rules of the
// WHATWG HTML standard ("Server-sent events", "Interpreting an event stream",
// https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation).
// A [Frame] is delivered as soon as the blank line that ends it has been read.
// Nothing is held back for the bytes that may follow.
//
//	for frame, err := range sse.NewDecoder(response.Body).Frames() {
//		if err != nil {
//			return err
//		}
//		event, err := sse.Decode(frame)
//		if err != nil {
//			return err
//		}
//		fmt.Printf("%T\n", event)
//	}
//
// [Decode] then makes a frame the generated type of its event. The client of package
// ratelimited does both; use this package for streams that come another way, and skip
// the frames with "[DONE]" for data that other services send last: they are not events
// of this API, and Decode fails on them.
package sse
