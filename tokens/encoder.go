package tokens

import (
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/dlclark/regexp2"
	"github.com/pkoukk/tiktoken-go-loader/assets"
)

// An encoder counts tokens as tiktoken-go does, without its maps. It does not recognize
// special tokens. It is immutable.
type encoder struct {
	pattern *regexp2.Regexp // splits a text into pieces
	index   *index
}

// loadEncoder loads an encoding from the vocabularies embedded in the program.
func loadEncoder(name, pattern string) (*encoder, error) {
	e, err := openEncoder(name+".tiktoken", pattern)
	if err != nil {
		return nil, fmt.Errorf("tokens: load %s: %w", name, err)
	}
	return e, nil
}

// openEncoder loads an encoding from a vocabulary file.
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

// count returns the number of tokens in s. Its time is quadratic in the length of the
// longest piece.
func (e *encoder) count(s string) int {
	n := 0
	var buffer [64]byte
	piece := buffer[:0]
	// Matching fails only at a timeout, which this pattern does not have.
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

// merge returns the number of tokens in a piece that the pattern split off. Unless
// the piece is a token, its parts are first its bytes. While two neighbors together
// are a token, merge joins the pair whose token has the lowest rank, the leftmost
// of equals.
func (e *encoder) merge(piece []byte) int {
	if e.index.find(piece) != noToken {
		return 1
	}
	// starts has the start of each part and the end of the last. pairs has the token
	// that a part and its right neighbor make. The buffers keep short pieces off the
	// heap.
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
		// Equal pairs are joined in one pass, which saves a search for each, until
		// joining makes a pair of lower rank.
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
