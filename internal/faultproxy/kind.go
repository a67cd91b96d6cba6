package faultproxy

import "math/rand/v2"

// Kind is a kind of fault.
type Kind string

// The kinds of faults over HTTP/1.1, each with the meaning of [Fault.N].
const (
	Pass           Kind = "pass"                // No fault.
	Latency        Kind = "latency"             // The response waits N ms.
	SlowBody       Kind = "slow-body"           // The response arrives in pieces of N+1 bytes, one per ms.
	ResetRequest   Kind = "reset in request"    // A TCP reset after N+1 bytes of the request, or after all of it.
	ResetResponse  Kind = "reset in response"   // A TCP reset after N bytes of the response, or after all of it.
	CloseResponse  Kind = "close in response"   // The same, with an orderly close.
	HalfClose      Kind = "half-close"          // The same, but the proxy continues to read.
	Duplicate      Kind = "duplicated bytes"    // Up to 64 bytes before byte N of the response arrive twice.
	BadChunk       Kind = "bad chunk header"    // A chunk has variant N of an invalid size line.
	Interim        Kind = "1xx storm"           // N+1 interim responses come before the response.
	EndlessInterim Kind = "endless 1xx storm"   // Interim responses and nothing else, up to 8 MiB.
	GiantHeader    Kind = "giant header"        // A header field of N+1 KiB.
	LongLength     Kind = "length too large"    // Content-Length exceeds the content by N+1 bytes.
	ShortLength    Kind = "length too small"    // The content exceeds Content-Length by N+1 bytes, or by all of it.
	BadLength      Kind = "invalid length"      // Content-Length is variant N of an invalid one.
	GzipBomb       Kind = "gzip bomb"           // A small content that decompresses to 65 MiB.
	Trailers       Kind = "trailers"            // A chunked response with variant N of trailer fields.
	RefuseStream   Kind = "h2 refused stream"   // RST_STREAM (REFUSED_STREAM) in place of a response.
	ResetStream    Kind = "h2 reset stream"     // RST_STREAM after up to 2 frames of the response; N chooses the code.
	GoAway         Kind = "h2 GOAWAY"           // GOAWAY; the requests on the connection get their responses.
	GoAwayEarly    Kind = "h2 GOAWAY, unread"   // GOAWAY that leaves out this request, which gets no response.
	GoAwayClose    Kind = "h2 GOAWAY and close" // GOAWAY with an error, variant N, and the end of the connection.
	CutFrame       Kind = "h2 reset in frame"   // A TCP reset after N bytes of the response's first DATA frame.
	BadFrame       Kind = "h2 invalid frame"    // Variant N of a frame that breaks the protocol.
	InterimStream  Kind = "h2 1xx storm"        // N+1 interim responses come before the response.
)

// Fault is a kind of fault and its parameter.
type Fault struct {
	Kind Kind
	N    int
}

// choice is a kind of fault for [Sample] with its weight.
type choice struct {
	kind   Kind
	weight int
	span   int // The number of parameter values: 0 to span-1.
}

// Half of the requests pass without a fault, so that calls succeed and later calls can use what
// they created. The gzip bomb is rare because it takes seconds with the race detector.
var http1Choices = []choice{
	{Pass, 120, 1}, {Latency, 8, 50}, {SlowBody, 8, 64},
	{ResetRequest, 12, 600}, {ResetResponse, 16, 1500}, {CloseResponse, 8, 1500}, {HalfClose, 8, 1500},
	{Duplicate, 8, 1500}, {BadChunk, 8, len(badChunks)}, {Interim, 8, 200}, {EndlessInterim, 3, 1}, {GiantHeader, 8, 512},
	{LongLength, 6, 500}, {ShortLength, 6, 500}, {BadLength, 6, len(badLengths)}, {GzipBomb, 1, 1}, {Trailers, 8, len(trailers)},
}

var http2Choices = []choice{
	{Pass, 20, 1}, {RefuseStream, 3, 1}, {ResetStream, 4, 3 * len(resetCodes)}, {GoAway, 3, 1}, {GoAwayEarly, 3, 1},
	{GoAwayClose, 2, len(goAwayCodes)}, {CutFrame, 2, 300}, {BadFrame, 2, len(badFrames)}, {InterimStream, 3, 10},
}

// Sample returns a random fault.
func Sample(random *rand.Rand, http2 bool) Fault {
	choices := http1Choices
	if http2 {
		choices = http2Choices
	}
	sum := 0
	for _, c := range choices {
		sum += c.weight
	}
	n := random.IntN(sum)
	for _, c := range choices {
		if n -= c.weight; n < 0 {
			return Fault{Kind: c.kind, N: random.IntN(c.span)}
		}
	}
	panic("faultproxy: the weights do not add up to their sum")
}

// Kinds returns the kinds of faults that [Sample] chooses from.
func Kinds() (kinds []Kind) {
	for _, c := range http1Choices {
		kinds = append(kinds, c.kind)
	}
	for _, c := range http2Choices[1:] { // The first is Pass again.
		kinds = append(kinds, c.kind)
	}
	return kinds
}
