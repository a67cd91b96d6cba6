package generated

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"sync"
)

// A document is a JSON text and an index of its values, in the order in which they
// begin. With the index, any value can be skipped in one step, so decoding time is linear
// in the length of the text, at any depth.
type document struct {
	text  string
	nodes []node

	// shares reports whether decoded strings may share the memory of text; see kept.
	shares bool
	// budget is the memory that lists may still take, in bytes.
	budget int
	// mismatches are the nodes that could not be decoded. Those of the innermost response
	// begin at scope; see source.
	mismatches []int32
	scope      int
	failures   int // number of values that could not be decoded, recorded or not
}

// A node is one value of a document. The members of an object are pairs of nodes.
type node struct {
	start, end int32 // of its text
	next       int32 // index of the first node after it that is not inside it
}

const (
	// maxShared is the length up to which a text may be shared, in bytes.
	maxShared = 4 << 10
	// listBudget bounds the memory of lists, in bytes for each byte of text beyond
	// smallLists. The lists of real responses take a fraction of it, because their elements
	// are not empty.
	listBudget = 32
	smallLists = 512 << 10
	// maxPooledNodes bounds the index that the pool retains.
	maxPooledNodes = 4 << 10
)

var documents = sync.Pool{New: func() any { return new(document) }}

var errTooLong = errors.New("JSON text is longer than 2 GiB")

// parse copies and indexes a JSON text. The caller releases the document after its last
// read. Decoded strings stay valid.
func parse(data []byte) (*document, error) {
	switch {
	case len(data) > math.MaxInt32:
		return nil, errTooLong
	case !json.Valid(data):
		return nil, json.Unmarshal(data, new(json.RawMessage)) // it returns the syntax error
	}
	d := documents.Get().(*document)
	d.text = string(bytes.TrimSpace(data))
	d.shares, d.budget = len(d.text) <= maxShared, listBudget*len(d.text)+smallLists
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

// index fills nodes. The text is known to be JSON, and its positions to fit 32 bits.
//
//nolint:gosec // parse bounds the text
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
