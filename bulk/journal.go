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

// A Journal is the output of a job: a file with a line for each row that has a result. The line is
// written when the row is done, so the file says what is left to do. [OpenJournal] opens one. A
// Journal is safe for concurrent use, but one [Run] or [Plan] at a time reads an input for it; another
// one returns an error.
type Journal struct {
	path string
	file *os.File // nil when it is closed

	mu      sync.Mutex
	index   index
	size    int64 // of the file, without what a failed write has left
	torn    bool  // a failed write has left something
	unsaved bool  // something was written since the file was synced
	claimed bool  // the index has rows of an earlier input
	inUse   bool  // an input is being read
	counts  [statusAgain + 1]int
	usage   usage
}

var (
	errLocked   = errors.New("in use by another process")
	errReplaced = errors.New("the file was removed or replaced meanwhile")
	errInUse    = errors.New("bulk: the journal is in use: must be used by one Run or Plan at a time")
	errClosed   = errors.New("bulk: the journal is closed: open it with OpenJournal")

	// ErrOtherInput matches the error of [Plan] and [Run] for an output that has the results of another
	// input: none of the input's first 1,000 rows is in it.
	ErrOtherInput = errors.New("bulk: the output belongs to another input")
)

// OpenJournal opens an output, or creates an empty one, and reads which rows it has. A last line
// that a crash has cut off is removed. The file is locked against other processes until
// [Journal.Close]; programs may read it meanwhile. A file that this package has not written is
// refused, and stays as it is.
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

// load reads the file, and cuts off what a crash has left of its last line.
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
		if j.size += line.size; !line.ended { // the end alone is missing
			n, err := j.file.WriteString("\n")
			j.size += int64(n)
			return err
		}
	}
	_, err := j.file.Seek(j.size, io.SeekStart)
	return err
}

// isTorn reports whether a text may be the beginning of a line of an output. Some file systems leave
// zeros after a crash.
func isTorn(text []byte) bool {
	const begin = `{"custom_id":`
	if json.Valid(text) {
		return false
	}
	return bytes.HasPrefix(text, []byte(begin)) || bytes.HasPrefix([]byte(begin), text) || len(bytes.Trim(text, "\x00")) == 0
}

// add notes what became of a row.
func (j *Journal) add(l *resultLine) error {
	key, asked, s, err := l.row()
	if err != nil {
		return err
	}
	e := j.index.at(key)
	j.counts[e.status]--
	j.counts[s]++
	e.status, e.asked = s, askedOf(asked)
	if s == statusDone {
		j.usage.add(l.Mark)
	}
	return nil
}

// begin notes that an input begins: none of its rows has been seen. It reports false while another one
// is being read.
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

// end notes that an input has been read.
func (j *Journal) end() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.inUse = false
}

// A claim is what the output and the input so far say of a row.
type claim struct {
	status  status
	changed bool // the output has the result of another request
	twice   int  // the line that has the same id; 0: none
}

// claim notes that a row is in the input.
func (j *Journal) claim(key, asked digest, line int) (c claim) {
	j.mu.Lock()
	defer j.mu.Unlock()
	e := j.index.at(key)
	if e.line != 0 {
		return claim{twice: int(e.line)}
	}
	e.line = uint32(line) //nolint:gosec // an input of 2^32 rows does not fit into memory
	if e.status != statusNew && e.asked != askedOf(asked) {
		return claim{changed: true}
	}
	return claim{status: e.status}
}

// hasID reports whether the output has a row.
func (j *Journal) hasID(key digest) bool { return j.statusOf(key, nil) != statusNew }

// has reports whether the output has a row as it is.
func (j *Journal) has(next *job) bool { return j.statusOf(next.key, &next.asked) != statusNew }

// statusOf returns what the output has of a row, or only of a row as it was sent.
func (j *Journal) statusOf(key digest, asked *digest) status {
	j.mu.Lock()
	defer j.mu.Unlock()
	e := j.index.get(key)
	if e == nil || asked != nil && e.asked != askedOf(*asked) {
		return statusNew
	}
	return e.status
}

// write appends a line, in one piece.
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

// truncate removes what a failed write or a crash has left.
func (j *Journal) truncate() error {
	if err := j.file.Truncate(j.size); err != nil {
		return err
	}
	_, err := j.file.Seek(j.size, io.SeekStart)
	j.torn = err != nil
	return err
}

// sync has the system save the file, and notices if the file is no longer where it was.
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

// Done returns how many rows have a response.
func (j *Journal) Done() int { return j.count(statusDone) }

// Failed returns how many rows have failed. Of those, the ones whose failure may pass are sent again
// when the job is resumed.
func (j *Journal) Failed() int { return j.count(statusFailed) + j.count(statusAgain) }

// used returns what the responses used.
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

// Close saves the file and unlocks it. Closing it again does nothing.
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
