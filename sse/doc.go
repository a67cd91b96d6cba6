// Package sse decodes event streams: the text/event-stream format of server-sent
// events, in which the API sends streamed responses.
//
// A [Decoder] splits a response body into frames, by the rules of the WHATWG HTML
// standard ("Server-sent events", "Interpreting an event stream",
// https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation).
// It dispatches a [Frame] as soon as it has read the blank line that ends it, without
// waiting for further bytes.
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
// [Decode] decodes a frame as the generated type of its event. The client of package
// ratelimited does both: use this package only for streams from another source. Skip
// frames with the data "[DONE]", which other services send last: they are not events of
// this API, and Decode fails on them.
package sse
