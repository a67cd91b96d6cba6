package tokens

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"hash/maphash"
	"io"
	"math"
	"math/bits"
	"strconv"
)

// An index finds the tokens of a vocabulary by their bytes. It consists of two blocks of memory without
// pointers, which the garbage collector does not scan. A map with the same strings would cost several
// milliseconds per collection.
//
// The index uses positions instead of ranks. They have the same order, and merge only compares ranks.
type index struct {
	tokens []byte   // all tokens in the order of their ranks, each after a byte with its length
	slots  []uint32 // a hash table with linear probing: positions in tokens; 0 is a free slot
	seed   maphash.Seed
}

const (
	// noToken stands for bytes that are not a token. It is greater than any position.
	noToken = math.MaxUint32

	// maxTokenBytes is the maximum length of a token, because one byte stores the length.
	maxTokenBytes = math.MaxUint8
)

// newIndex reads a .tiktoken file of about size bytes. Each line consists of a token in base64, a space, and the
// token's rank. Ranks are strictly increasing.
func newIndex(file io.Reader, size int64) (*index, error) {
	// The tokens need less than half the size of the file, so this block does not grow.
	x := &index{tokens: make([]byte, 0, size/2), seed: maphash.MakeSeed()}
	lines, last := 0, -1
	scanner := bufio.NewScanner(file)
	for scanner.Scan() {
		lines++
		encoded, decimal, _ := bytes.Cut(scanner.Bytes(), []byte(" "))
		rank, err := strconv.Atoi(string(decimal))
		if err != nil || rank <= last {
			return nil, fmt.Errorf("line %d: rank %.20q: must be a number greater than %d", lines, decimal, last)
		}
		last = rank
		start := len(x.tokens) + 1
		x.tokens, err = base64.StdEncoding.AppendDecode(append(x.tokens, 0), encoded)
		length := len(x.tokens) - start
		if err != nil || length < 1 || length > maxTokenBytes {
			return nil, fmt.Errorf("line %d: token %.20q: must be 1 to %d bytes in base64", lines, encoded, maxTokenBytes)
		}
		x.tokens[start-1] = byte(length)
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", lines+1, err)
	}
	return x, x.fill(lines)
}

// fill builds the hash table. count is the number of tokens.
func (x *index) fill(count int) error {
	x.slots = make([]uint32, 1<<bits.Len(uint(2*count))) // at most half full
	for position := 1; position < len(x.tokens); {
		token := x.token(uint32(position))
		slot := x.slot(token)
		if *slot != 0 {
			return fmt.Errorf("token %.20q: must occur once", token)
		}
		*slot = uint32(position)
		position += len(token) + 1
	}
	for b := range 256 {
		if x.find([]byte{byte(b)}) == noToken {
			return fmt.Errorf("byte %#02x: must be a token", b)
		}
	}
	return nil
}

// find returns the position of a token, or noToken.
func (x *index) find(token []byte) uint32 {
	if position := *x.slot(token); position != 0 {
		return position
	}
	return noToken
}

// slot returns the slot that holds the position of a token, or the free slot for it.
func (x *index) slot(token []byte) *uint32 {
	mask := uint64(len(x.slots)) - 1
	for i := maphash.Bytes(x.seed, token) & mask; ; i = (i + 1) & mask {
		slot := &x.slots[i]
		if *slot == 0 || bytes.Equal(x.token(*slot), token) {
			return slot
		}
	}
}

// token returns the token at a position.
func (x *index) token(position uint32) []byte {
	return x.tokens[position : position+uint32(x.tokens[position-1])]
}
