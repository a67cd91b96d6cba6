// Package tokens estimates how many tokens a text will use before it is sent.
//
// The unit is the token of a public byte-pair encoding, by default [DefaultEncoding].
// Mistral's models have other vocabularies, so the server's count differs by a few
// percent, and by more for some languages. The client corrects its estimates with the
// usage that the server reports.
//
// The vocabularies are part of the program: the package does not read the network or
// the disk. A vocabulary is loaded once per process, on first use, and all Counters of
// the encoding share it. This takes about 15 ms and 2 MB for the default encoding. Call
// [Counter.Load] to choose the time. A loaded vocabulary does not contain pointers, so
// it does not slow down garbage collection.
//
// # Cost
//
// Counting the same text again takes the count from a cache, without allocation. For each
// encoding in use, the cache holds at most 32,768 hashes and counts, about 2 MB, and no
// text. It always holds the last 16,384 distinct texts. A text of more than 512 bytes also
// takes one entry for each of its segments.
//
// Counting takes time linear in the length of the text, for any content. Texts longer
// than 512 bytes are counted in segments. A segment ends where the encoding always ends a
// piece, such as before the space in front of a word, so the sum is exact. A run of more
// than 512 bytes without such a place is cut anyway: one repeated letter, Chinese without
// punctuation, or many blanks. Each such cut may change the count by one or two tokens,
// nearly always upwards.
package tokens

import "github.com/pkoukk/tiktoken-go"

// DefaultEncoding is the encoding of the zero [Counter].
const DefaultEncoding = tiktoken.MODEL_CL100K_BASE

// bytesPerToken is the estimate of [Counter.Text] without a vocabulary. It is low for prose, so the estimate
// is usually too high.
const bytesPerToken = 3

// A Counter counts the tokens of texts in one encoding. The zero Counter counts in [DefaultEncoding].
//
// A Counter is safe for concurrent use. All Counters of an encoding share one vocabulary and one cache, so
// a further Counter needs no memory.
type Counter struct {
	vocabulary *vocabulary // nil means DefaultEncoding
}

// NewCounter returns a Counter for the named encoding: "cl100k_base", "o200k_base", "p50k_base" or "r50k_base".
// The empty name means [DefaultEncoding]. For other names it returns an error. NewCounter does not load the
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

// Text returns the number of tokens in s. It accepts any bytes and does not panic. The result is 0 for an
// empty text, and otherwise from 1 to len(s).
//
// The names of special tokens, such as "<|endoftext|>", count as ordinary text. A byte that is not valid
// UTF-8 counts as U+FFFD, because encoding/json sends that in its place.
//
// The first call for an encoding loads its vocabulary. If this fails (see [Counter.Load]), Text returns one
// token for every three bytes, rounded up.
func (c *Counter) Text(s string) int {
	return c.shared().count(s)
}

// Load loads the vocabulary, unless it is loaded, and returns an error if it cannot be used. Text loads it
// too, so Load is only for programs that want to load it at start. An error means that the program was built
// with a damaged vocabulary.
func (c *Counter) Load() error {
	_, err := c.shared().encoder()
	return err
}

// shared returns the vocabulary of the counter.
func (c *Counter) shared() *vocabulary {
	if c.vocabulary == nil {
		return defaultVocabulary
	}
	return c.vocabulary
}
