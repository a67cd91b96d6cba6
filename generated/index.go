package generated

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"sync"
)

// A document is JSON text and an index of its values, in the order in which they begin. The
// decoder uses the index to skip any value in one step. Decoding time is therefore linear in
// the length of the text, at any depth.
type document struct {
	text  string
	nodes []node

	// sharesText reports whether all decoded strings may share the memory of text; see
	// retainable.
	sharesText bool
	// listBudget is the number of bytes that lists may still allocate.
	listBudget int
	// mismatches are the nodes that could not be decoded. The mismatches of the innermost
	// response begin at index scope; see beginScope.
	mismatches []int32
	scope      int
	failures   int // number of values that could not be decoded, including unrecorded ones
}

// A node is one value of a document. A member of an object is a pair of nodes: name and value.
type node struct {
	start, end int32 // range of its text
	next       int32 // index of the first node after its descendants
}

const (
	// maxShared is the maximum length of a text that decoded strings share, in bytes.
	maxShared = 4 << 10
	// Lists may allocate listBase bytes and another listFactor bytes for each byte of text.
	// The lists of real responses need a fraction of this, because their elements are not
	// empty.
	listFactor = 32
	listBase   = 512 << 10
	// maxPooledNodes is the maximum capacity of a slice that the pool retains.
	maxPooledNodes = 4 << 10
)

var documents = sync.Pool{New: func() any { return new(document) }}

var errTooLong = errors.New("JSON text is longer than 2 GiB")

// parse copies and indexes JSON text. The caller must release the document after reading it.
// Strings decoded from it stay valid.
func parse(data []byte) (*document, error) {
	switch {
	case len(data) > math.MaxInt32:
		return nil, errTooLong
	case !json.Valid(data):
		return nil, json.Unmarshal(data, new(json.RawMessage)) // returns the syntax error
	}
	d := documents.Get().(*document)
	d.text = string(bytes.TrimSpace(data))
	d.sharesText, d.listBudget = len(d.text) <= maxShared, listFactor*len(d.text)+listBase
	d.index()
	return d, nil
}

func (d *document) release() {
	nodes, mismatches := d.nodes[:0], d.mismatches[:0]
	if cap(nodes) > maxPooledNodes {
		nodes = nil
	}
	if cap(mismatches) > maxPooledNodes {
		mismatches = nil
	}
	*d = document{nodes: nodes, mismatches: mismatches}
	documents.Put(d)
}

// index fills nodes. The text is valid JSON, and its positions fit in 32 bits.
//
//nolint:gosec // parse checks the length of the text
func (d *document) index() {
	var stack [32]int32
	open := stack[:0] // objects and arrays that have not ended
	text, nodes := d.text, d.nodes
	for i := 0; i < len(text); {
		start := i
		switch text[i] {
		case ' ', '\t', '\n', '\r', ',', ':':
			i++
			continue
		case '{', '[':
			open = append(open, int32(len(nodes)))
			nodes = append(nodes, node{start: int32(i)})
			i++
			continue
		case '}', ']':
			i++
			last := open[len(open)-1]
			open = open[:len(open)-1]
			nodes[last].end, nodes[last].next = int32(i), int32(len(nodes))
			continue
		case '"':
			i = endOfString(text, i)
		default:
			i = endOfScalar(text, i)
		}
		nodes = append(nodes, node{int32(start), int32(i), int32(len(nodes)) + 1})
	}
	d.nodes = nodes
}

// endOfString returns the index after the string that begins at text[i].
func endOfString(text string, i int) int {
	for i++; ; i++ {
		i += strings.IndexByte(text[i:], '"')
		escapes := 0
		for text[i-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return i + 1
		}
	}
}

// endOfScalar returns the index after the number or literal that begins at text[i].
func endOfScalar(text string, i int) int {
	for ; i < len(text); i++ {
		switch text[i] {
		case ',', ']', '}', ' ', '\t', '\n', '\r':
			return i
		}
	}
	return i
}
