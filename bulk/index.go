package bulk

import "encoding/binary"

// A status is what has become of a row.
type status uint8

const (
	statusNew    status = iota // the output does not have it
	statusDone                 // it has a response
	statusFailed               // it has failed for good
	statusAgain                // it has failed, and may succeed later
)

// An entry is what is known of a row.
type entry struct {
	id     [12]byte // of the digest of its id, beside the number of its shard
	asked  [7]byte  // of the digest of its request in the output
	status status
	line   uint32 // in the input of this run; 0: not seen yet
}

// An index is a set of rows, of 24 bytes each. It is a hash table of its own, because a Go map of the
// same rows takes twice the memory, and a million rows are to fit into 100 MB with the garbage that
// is collected meanwhile. It consists of shards so that little is copied at a time.
type index struct {
	shards [256][]entry // linear probing; an entry without status and line is free
	used   [256]int
}

// maxLoad is how full a shard gets, and growth by how much it grows then.
const (
	maxLoad = 0.85
	growth  = 1.2
)

// at returns the entry of a row, which it adds if there is none. The entry is valid until the next
// call; the caller sets its status or its line.
func (x *index) at(id digest) *entry {
	n := id[len(id)-1]
	if float64(x.used[n]) >= maxLoad*float64(len(x.shards[n])) {
		old := x.shards[n]
		x.shards[n] = make([]entry, int(growth*float64(len(old)))+8)
		for i := range old {
			if e := &old[i]; !e.isFree() {
				*find(x.shards[n], e.id) = *e
			}
		}
	}
	e := find(x.shards[n], idOf(id))
	if e.isFree() {
		e.id = idOf(id)
		x.used[n]++
	}
	return e
}

// get returns the entry of a row; nil if there is none.
func (x *index) get(id digest) *entry {
	shard := x.shards[id[len(id)-1]]
	if len(shard) == 0 {
		return nil
	}
	if e := find(shard, idOf(id)); !e.isFree() {
		return e
	}
	return nil
}

// forget makes the index one of which no line has been seen, and keeps what the output has.
func (x *index) forget() {
	for n, shard := range x.shards {
		x.used[n] = 0
		x.shards[n] = make([]entry, len(shard))
		for i := range shard {
			if e := shard[i]; e.status != statusNew {
				e.line = 0
				*find(x.shards[n], e.id) = e
				x.used[n]++
			}
		}
	}
}

// find returns the entry of an id, or the free one where it belongs.
func find(shard []entry, id [12]byte) *entry {
	n := uint64(len(shard))
	i := binary.LittleEndian.Uint64(id[:]) % n
	for !shard[i].isFree() && shard[i].id != id {
		i = (i + 1) % n
	}
	return &shard[i]
}

func idOf(id digest) [12]byte    { return [12]byte(id[:12]) }
func askedOf(sum digest) [7]byte { return [7]byte(sum[:7]) }
func (e *entry) isFree() bool    { return e.status == statusNew && e.line == 0 }
