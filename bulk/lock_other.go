//go:build (!unix && !windows) || solaris || illumos || aix

package bulk

import (
	"errors"
	"os"
)

// openLocked returns an error, because this package does not support file locks on this system.
func openLocked(path string) (*os.File, error) {
	return nil, &os.PathError{Op: "lock", Path: path, Err: errors.ErrUnsupported}
}
