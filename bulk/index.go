package bulk

import "encoding/binary"

// A status is the state of a row in the output.
type status uint8

const (
	statusNew    status = iota // the output does not have the row
	statusDone                 // the row has a response
	statusFailed               // the row failed permanently
	statusRetry                // the row failed temporarily
)

// An entry is the record of a row.
type entry struct {
	id            [12]byte // the first bytes of the digest of the row's ID
	requestDigest [7]byte  // the first bytes of the digest of the request in the output
	status        status
	line          uint32 // the line in this run's input; 0 if not read yet
}

// An index is a set of rows with 24 bytes each. It is a custom hash table because a Go map would
// need twice the memory, and a million rows must fit into 100 MB including garbage. It is split
// into shards to limit the size of a single copy.
type index struct {
	shards [256][]entry // linear probing; an entry without status and line is free
	used   [256]int
}

// maxLoad is how full a shard gets, and growth by how much it grows then.
const (
	// maxLoad is the maximum load factor of a shard. growth is the factor by which it grows.
	maxLoad = 0.85
	growth  = 1.2
)

// at returns the entry of a row and adds it if necessary. The entry is valid until the next call.
// The caller must set its status or its line.
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
	e := find(x.shards[n], idPrefix(id))
	if e.isFree() {
		e.id = idPrefix(id)
		x.used[n]++
	}
	return e
}

// get returns the entry of a row, or nil.
func (x *index) get(id digest) *entry {
	shard := x.shards[id[len(id)-1]]
	if len(shard) == 0 {
		return nil
	}
	if e := find(shard, idPrefix(id)); !e.isFree() {
		return e
	}
	return nil
}

// forget removes the lines of an earlier input and keeps the rows of the output.
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

// find returns the entry of an ID, or the free entry for it.
func find(shard []entry, id [12]byte) *entry {
	n := uint64(len(shard))
	i := binary.LittleEndian.Uint64(id[:]) % n
	for !shard[i].isFree() && shard[i].id != id {
		i = (i + 1) % n
	}
	return &shard[i]
}

func idPrefix(id digest) [12]byte      { return [12]byte(id[:12]) }
func requestPrefix(sum digest) [7]byte { return [7]byte(sum[:7]) }
func (e *entry) isFree() bool          { return e.status == statusNew && e.line == 0 }
