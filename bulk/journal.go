package bulk

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// A Journal is the output of a job: a file with a line for each finished row. A job uses it to find
// out which rows remain. Create it with [OpenJournal].
//
// A Journal is safe for concurrent use, but only one [Run] or [Plan] at a time may use it. Another
// one returns an error.
type Journal struct {
	path string
	file *os.File // nil when it is closed

	mu      sync.Mutex
	index   index
	size    int64 // the size of the complete lines, in bytes
	torn    bool  // whether a failed write left an incomplete line
	unsaved bool  // whether the file was written since the last sync
	claimed bool  // whether the index has lines of an earlier input
	inUse   bool  // whether an input is being read
	counts  [statusRetry + 1]int
	usage   usage
}

var (
	errLocked   = errors.New("in use by another process")
	errReplaced = errors.New("the file was removed or replaced while it was open")
	errInUse    = errors.New("bulk: the journal is in use: must be used by only one Run or Plan at a time")
	errClosed   = errors.New("bulk: the journal is closed: must be opened with OpenJournal")

	// ErrOtherInput matches the error of [Plan] and [Run] if the output belongs to another input:
	// it has responses, but none of the first 1,000 rows of the input is in it.
	ErrOtherInput = errors.New("bulk: the output belongs to another input")
)

// OpenJournal opens an output, or creates an empty one, and reads the state of its rows. It removes
// an incomplete last line that a crash left. It locks the file against other processes until
// [Journal.Close]; other programs can still read it. It rejects a file that this package did not
// write and does not change it.
func OpenJournal(path string) (*Journal, error) {
	file, err := openLocked(path)
	if err != nil {
		return nil, fmt.Errorf("bulk: %w", err)
	}
	j := &Journal{path: path, file: file}
	if err := j.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("bulk: %s: %w", path, err), file.Close())
	}
	return j, nil
}

// maxResult bounds the length of a line of an output, in bytes. The client reads responses of up to
// 64 MiB.
const maxResult = 256 << 20

// load reads the file and removes an incomplete last line.
func (j *Journal) load() error {
	if info, err := j.file.Stat(); err != nil || !info.Mode().IsRegular() {
		return errors.Join(err, errors.New("must be a file"))
	}
	for line, err := range linesOf(j.file, maxResult) {
		if err == nil {
			err = line.err
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", line.number, err)
		}
		if len(bytes.TrimSpace(line.text)) > 0 {
			l, err := parseLine(line.text)
			if err != nil && !line.ended && isTorn(line.text) {
				return j.truncate()
			}
			if err == nil {
				err = j.add(l)
			}
			if err != nil {
				return fmt.Errorf("line %d: %w", line.number, err)
			}
		}
		if j.size += line.size; !line.ended { // only the line break is missing
			n, err := j.file.WriteString("\n")
			j.size += int64(n)
			return err
		}
	}
	_, err := j.file.Seek(j.size, io.SeekStart)
	return err
}

// isTorn reports whether a text may be the beginning of a line of an output. Some file systems
// leave zeros after a crash.
func isTorn(text []byte) bool {
	const begin = `{"custom_id":`
	if json.Valid(text) {
		return false
	}
	return bytes.HasPrefix(text, []byte(begin)) || bytes.HasPrefix([]byte(begin), text) || len(bytes.Trim(text, "\x00")) == 0
}

// add records the state of a row.
func (j *Journal) add(l *resultLine) error {
	key, requestDigest, s, err := l.row()
	if err != nil {
		return err
	}
	e := j.index.at(key)
	j.counts[e.status]--
	j.counts[s]++
	e.status, e.requestDigest = s, requestPrefix(requestDigest)
	if s == statusDone {
		j.usage.add(l.Mark)
	}
	return nil
}

// begin starts reading an input. It reports false if another input is being read.
func (j *Journal) begin() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.inUse {
		return false
	}
	if j.claimed {
		j.index.forget()
	}
	j.claimed, j.inUse = true, true
	return true
}

// end ends reading an input.
func (j *Journal) end() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.inUse = false
}

// A claim is the state of a row in the output and in the input so far.
type claim struct {
	status      status
	changed     bool // whether the output has the result of another request
	duplicateOf int  // the earlier line with the same ID, or 0
}

// claim records that a row is in the input and returns its state.
func (j *Journal) claim(key, requestDigest digest, line int) (c claim) {
	j.mu.Lock()
	defer j.mu.Unlock()
	e := j.index.at(key)
	if e.line != 0 {
		return claim{duplicateOf: int(e.line)}
	}
	e.line = uint32(line) //nolint:gosec // an input of 2^32 rows does not fit into memory
	if e.status != statusNew && e.requestDigest != requestPrefix(requestDigest) {
		return claim{changed: true}
	}
	return claim{status: e.status}
}

// hasID reports whether the output has a row with a key.
func (j *Journal) hasID(key digest) bool { return j.statusOf(key, nil) != statusNew }

// has reports whether the output has a row with the same request.
func (j *Journal) has(next *job) bool { return j.statusOf(next.key, &next.requestDigest) != statusNew }

// statusOf returns the status of a row in the output. If requestDigest is not nil, it only considers a row
// with this request.
func (j *Journal) statusOf(key digest, requestDigest *digest) status {
	j.mu.Lock()
	defer j.mu.Unlock()
	e := j.index.get(key)
	if e == nil || requestDigest != nil && e.requestDigest != requestPrefix(*requestDigest) {
		return statusNew
	}
	return e.status
}

// write appends a line with a single write.
func (j *Journal) write(l *resultLine) error {
	text, err := l.encode()
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		return errClosed
	}
	if j.torn {
		if err := j.truncate(); err != nil {
			return j.failed(err)
		}
	}
	if _, err := j.file.Write(text); err != nil {
		j.torn = true
		return j.failed(errors.Join(err, j.truncate()))
	}
	j.size += int64(len(text))
	j.unsaved = true
	return j.add(l)
}

// truncate removes the incomplete line that a failed write or a crash left.
func (j *Journal) truncate() error {
	if err := j.file.Truncate(j.size); err != nil {
		return err
	}
	_, err := j.file.Seek(j.size, io.SeekStart)
	j.torn = err != nil
	return err
}

// sync syncs the file to disk, and returns an error if the file was removed or replaced.
func (j *Journal) sync() error {
	j.mu.Lock()
	file, unsaved := j.file, j.unsaved
	j.unsaved = false
	j.mu.Unlock()
	switch {
	case file == nil:
		return errClosed
	case !unsaved:
		return nil
	}
	if err := file.Sync(); err != nil {
		return j.failed(err)
	}
	here, err := file.Stat()
	there, failed := os.Stat(j.path)
	if err := errors.Join(err, failed); err != nil || !os.SameFile(here, there) {
		return j.failed(errReplaced)
	}
	return nil
}

func (j *Journal) failed(err error) error { return fmt.Errorf("bulk: write %s: %w", j.path, err) }

// Done returns the number of rows with a response.
func (j *Journal) Done() int { return j.count(statusDone) }

// Failed returns the number of failed rows. It includes rows that failed temporarily, which are
// sent again when the job continues.
func (j *Journal) Failed() int { return j.count(statusFailed) + j.count(statusRetry) }

// used returns the usage of the responses.
func (j *Journal) used() usage {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.usage
}

func (j *Journal) isOpen() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.file != nil
}

func (j *Journal) count(s status) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.counts[s]
}

// Close syncs the file to disk, closes it and releases the lock. Further calls do nothing.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	file := j.file
	if j.file = nil; file == nil {
		return nil
	}
	var err error
	if j.unsaved {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return j.failed(err)
	}
	return nil
}
