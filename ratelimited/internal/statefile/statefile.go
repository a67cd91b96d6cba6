// Package statefile keeps a small JSON value in a file that one process at a time may use.
package statefile

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
)

// version is the version of the file format. The value in Content has its own versions.
const version = 1

// maxSize is the maximum number of bytes of a file.
const maxSize = 64 << 20

// ErrLocked is the error of [Open] for a file that is in use, by this process or another one.
var ErrLocked = errors.New("the file is in use")

// A File is a locked file. It is not safe for concurrent use.
type File struct {
	path string
	lock *flock.Flock
}

// contents is the format of a file. Sum shows whether Content is complete and unchanged.
type contents struct {
	Version int             `json:"version"`
	Sum     string          `json:"sum"` // SHA-256 of Content, in hexadecimal
	Content json.RawMessage `json:"content"`
}

// Open locks the file with the given path. It locks another file whose name ends in .lock, and which is not deleted.
// The lock ends with Close or with the process. Open creates missing directories. The file itself need not
// exist.
func Open(path string) (*File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	lock := flock.New(path+".lock", flock.SetPermissions(0o600))
	locked, err := lock.TryLock()
	if err == nil && !locked {
		err = ErrLocked
	}
	if err == nil {
		if info, statErr := os.Stat(path); statErr == nil && !info.Mode().IsRegular() {
			err = &fs.PathError{Op: "open", Path: path, Err: errors.New("not a regular file")}
		}
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return &File{path, lock}, nil
}

// Read decodes the value that was written last. It reports false if no value was written. On an error, the file cannot be
// used, and parts of value may have changed.
func (f *File) Read(value any) (found bool, err error) {
	file, err := os.Open(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer file.Close() //nolint:errcheck // the file was only read
	text, err := io.ReadAll(io.LimitReader(file, maxSize+1))
	if err != nil {
		return false, err
	}
	var c contents
	switch err := json.Unmarshal(text, &c); {
	case len(text) > maxSize:
		return false, fmt.Errorf("larger than %d bytes", maxSize)
	case err != nil:
		return false, err
	case c.Version != version:
		return false, fmt.Errorf("version is %d: must be %d", c.Version, version)
	case c.Sum != checksum(c.Content):
		return false, errors.New("changed or incomplete: wrong checksum")
	}
	return true, json.Unmarshal(c.Content, value)
}

// Write replaces the file with the given value, atomically.
func (f *File) Write(value any) (err error) {
	content, err := json.Marshal(value)
	if err != nil {
		return err
	}
	text, err := json.Marshal(contents{version, checksum(content), content})
	if err != nil {
		return err
	}
	// A killed process may have left such a file: replace it, and never read it.
	temporary := f.path + ".tmp"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // only for the owner
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(temporary))
		}
	}()
	_, err = file.Write(append(text, '\n'))
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	return os.Rename(temporary, f.path)
}

// SetAside renames the file, so that the next Write does not replace it. The new name ends in .unread.
func (f *File) SetAside() error { return os.Rename(f.path, f.path+".unread") }

// Close unlocks the file.
func (f *File) Close() error { return f.lock.Close() }

func checksum(content []byte) string {
	s := sha256.Sum256(content)
	return hex.EncodeToString(s[:])
}
