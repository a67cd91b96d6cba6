package tokens

import (
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/dlclark/regexp2"
	"github.com/pkoukk/tiktoken-go-loader/assets"
)

// An encoder counts tokens like tiktoken-go, but without maps and without special tokens. It is immutable.
type encoder struct {
	pattern *regexp2.Regexp // splits a text into pieces
	index   *index
}

// loadEncoder loads an encoding from the embedded vocabularies.
func loadEncoder(name, pattern string) (*encoder, error) {
	e, err := openEncoder(name+".tiktoken", pattern)
	if err != nil {
		return nil, fmt.Errorf("tokens: load %s: %w", name, err)
	}
	return e, nil
}

// openEncoder loads an encoding from an embedded vocabulary file.
func openEncoder(name, pattern string) (*encoder, error) {
	split, err := regexp2.Compile(pattern, regexp2.None)
	if err != nil {
		return nil, err
	}
	file, err := assets.Assets.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	index, err := newIndex(file, info.Size())
	if err != nil {
		return nil, err
	}
	return &encoder{pattern: split, index: index}, nil
}

// count returns the number of tokens in s. It takes time quadratic in the length of the longest piece.
func (e *encoder) count(s string) int {
	n := 0
	var buffer [64]byte
	piece := buffer[:0]
	// Matching fails only after a timeout, and this pattern does not have one.
	match, _ := e.pattern.FindStringMatch(s)
	for match != nil {
		piece = piece[:0]
		for _, r := range match.Runes() { // U+FFFD for a byte that is not UTF-8
			piece = utf8.AppendRune(piece, r)
		}
		n += e.merge(piece)
		match, _ = e.pattern.FindNextMatch(match)
	}
	return n
}

// merge returns the number of tokens in a piece. If the piece is not a token, its parts are initially its bytes.
// While two neighboring parts form a token, merge joins the pair whose token has the lowest rank; of equal
// pairs, the leftmost.
func (e *encoder) merge(piece []byte) int {
	if e.index.find(piece) != noToken {
		return 1
	}
	// starts holds the start of each part and the end of the last one. pairs holds the token
	// that each part forms with its right neighbor. The buffers keep short pieces off the heap.
	var startsBuffer [65]int
	var pairsBuffer [64]uint32
	starts, pairs := startsBuffer[:0], pairsBuffer[:0]
	for i := range len(piece) - 1 {
		starts, pairs = append(starts, i), append(pairs, e.index.find(piece[i:i+2]))
	}
	starts, pairs = append(starts, len(piece)-1, len(piece)), append(pairs, noToken)
	for {
		first, lowest := 0, uint32(noToken)
		for i, pair := range pairs {
			if pair < lowest {
				first, lowest = i, pair
			}
		}
		if lowest == noToken {
			return len(pairs)
		}
		// Join equal pairs in one pass, without a new search, until this forms a pair of lower
		// rank.
		for i := first; i < len(pairs); i++ {
			if pairs[i] != lowest {
				continue
			}
			starts, pairs = slices.Delete(starts, i+1, i+2), slices.Delete(pairs, i+1, i+2)
			left := max(i-1, 0)
			for j := left; j <= i; j++ {
				pairs[j] = noToken
				if j+2 < len(starts) {
					pairs[j] = e.index.find(piece[starts[j]:starts[j+2]])
				}
			}
			if min(pairs[left], pairs[i]) < lowest {
				break
			}
		}
	}
}
