//go:build (!unix && !windows) || solaris || illumos || aix

package bulk

import (
	"errors"
	"os"
)

// openLocked refuses to open a file: this system has no lock that this package knows.
func openLocked(path string) (*os.File, error) {
	return nil, &os.PathError{Op: "lock", Path: path, Err: errors.ErrUnsupported}
}
