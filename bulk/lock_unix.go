//go:build unix && !solaris && !illumos && !aix

package bulk

import (
	"errors"
	"os"
	"syscall"
)

// openLocked opens or creates a file for appending, and locks it against other processes until it
// is closed. Other programs can still read the file.
func openLocked(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o666) //nolint:gosec // the umask sets the permissions
	if err != nil {
		return nil, err
	}
	for err = syscall.EINTR; errors.Is(err, syscall.EINTR); {
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err == nil {
		return file, nil
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = errLocked
	}
	return nil, errors.Join(&os.PathError{Op: "lock", Path: path, Err: err}, file.Close())
}
