// Package tokens estimates how many tokens a text costs before it is sent.
//
// The unit is the token of a public byte-pair encoding, [DefaultEncoding] unless
// another is chosen. That is an estimate, not the bill: Mistral's models have
// vocabularies of their own, so the server's figure differs by some per cent,
// more for some languages than for others. The client that uses an estimate
// corrects itself by the usage that the server reports.
//
// The vocabularies are part of the program. Nothing is read from the network or
// the disk. A vocabulary is loaded once per process, on first use, and shared by
// every [Counter] of that encoding: about 15 ms and 2 MB for the default. Call
// [Counter.Load] to choose the moment. A loaded vocabulary holds no pointers, so
// garbage collection takes no longer with it.
//
// # Cost
//
// A text counted before is found in a cache, without allocation. The cache keeps
// hashes and counts, never a text: at most 32,768 entries, about 2 MB, for each
// encoding in use. The last 16,384 distinct texts counted are always in it, where
// a text of more than 512 bytes also takes an entry for each of its segments.
//
// Counting takes time in proportion to the length of the text, whatever is in
// it. Texts longer than 512 bytes are counted in segments. A segment ends where
// the encoding itself always ends a piece, such as the space before a word, so
// the sum is exact. Only a run of more than 512 bytes that has no such place (one
// letter repeated, Chinese without punctuation, a screen of blanks) is cut
// regardless, and each such cut may move the count by a token or two, nearly always
// upwards.
package tokens

import "github.com/pkoukk/tiktoken-go"

// DefaultEncoding is the encoding of a [Counter] that was not given one.
const DefaultEncoding = tiktoken.MODEL_CL100K_BASE

// bytesPerToken is the estimate of [Counter.Text] without a vocabulary. It is
// low for prose, so that the estimate errs upwards.
const bytesPerToken = 3

// A Counter counts the tokens of texts in one encoding. The zero Counter is ready
// to use and counts in [DefaultEncoding].
//
// A Counter is safe for use by any number of goroutines. It holds no state of its
// own: Counters of the same encoding share one vocabulary and one cache, so making
// another is free.
type Counter struct {
	vocabulary *vocabulary // nil means DefaultEncoding
}

// NewCounter returns a Counter for the named encoding: "cl100k_base",
// "o200k_base", "p50k_base" or "r50k_base". The empty name means
// [DefaultEncoding]; any other is an error. NewCounter does not load the
// vocabulary.
func NewCounter(encoding string) (*Counter, error) {
	if encoding == "" {
		encoding = DefaultEncoding
	}
	v, err := lookup(encoding)
	if err != nil {
		return nil, err
	}
	return &Counter{vocabulary: v}, nil
}

// Text returns the number of tokens in s. It accepts any bytes and never panics;
// the result is at least 0, at least 1 unless s is empty, and at most len(s).
//
// The names of special tokens, such as "<|endoftext|>", count as the ordinary
// text they are. A byte that is not valid UTF-8 counts as U+FFFD, which is what
// encoding/json sends in its place.
//
// The first call for an encoding loads its vocabulary. Should that fail, see
// [Counter.Load], Text returns one token for every three bytes, rounded up.
func (c *Counter) Text(s string) int {
	return c.shared().count(s)
}

// Load loads the vocabulary, unless that was done before, and reports whether it
// can be used. Calling it is not necessary: Text loads by itself. Load is for a
// program that wants to pay for loading at its start, not in its first call. An
// error means that the program was built with a damaged vocabulary.
func (c *Counter) Load() error {
	_, err := c.shared().encoder()
	return err
}

func (c *Counter) shared() *vocabulary {
	if c.vocabulary == nil {
		return defaultVocabulary
	}
	return c.vocabulary
}
