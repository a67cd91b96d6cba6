//go:build unix && !solaris && !illumos && !aix

package bulk

import (
	"errors"
	"os"
	"syscall"
)

// openLocked opens a file for appending, which it creates if there is none, and locks it against
// other processes until it is closed. Whoever reads the file is not kept from it.
func openLocked(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o666) //nolint:gosec // the umask decides who may read it
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
