// Package nodetest runs Node.js programs in tests if Node.js is installed.
package nodetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

var majorVersion = regexp.MustCompile(`^v([0-9]+)\.`)

// Node returns the path of node. It skips the test if npm, or node of at least the given major version, is not on the
// PATH.
func Node(t *testing.T, minVersion int) string {
	t.Helper()
	const rule = "install Node.js %d or later, with npm, to run this test"
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skipf("node is not on the PATH: "+rule, minVersion)
	}
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skipf("npm is not on the PATH: "+rule, minVersion)
	}
	version, err := Run(t, t.TempDir(), time.Minute, nil, node, "--version")
	if err != nil {
		t.Fatal(err)
	}
	found := majorVersion.FindStringSubmatch(version)
	if found == nil {
		t.Fatalf("node --version prints %q", version)
	}
	if major, err := strconv.Atoi(found[1]); err == nil && major < minVersion {
		t.Skipf("node is %s: "+rule, strings.TrimSpace(version), minVersion)
	}
	return node
}

// Install installs the packages of a package.json and its package-lock.json and returns the directory. The directory
// stays in the user's cache under the given name, keyed by the two files. Several runs of a test may use it at once.
func Install(t *testing.T, name string, manifest, lock []byte) string {
	t.Helper()
	hash := sha256.New()
	hash.Write(manifest)
	hash.Write(lock)
	parent := cache(t, name)
	dir := filepath.Join(parent, hex.EncodeToString(hash.Sum(nil))[:16])
	if _, err := os.Stat(filepath.Join(dir, "node_modules")); err == nil {
		return dir
	}

	newDir, err := os.MkdirTemp(parent, "new-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(newDir) })
	for name, data := range map[string][]byte{"package.json": manifest, "package-lock.json": lock} {
		if err := os.WriteFile(filepath.Join(newDir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Run(t, newDir, 5*time.Minute, nil, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"); err != nil {
		t.Fatalf("install the packages with npm, which needs the npm registry once: %v", err)
	}
	if err := os.Rename(newDir, dir); err != nil {
		t.Logf("%s is not cached: %v", newDir, err) // another run may have been faster
		return newDir
	}
	return dir
}

// cache returns a directory in the user's cache, or a temporary one without a cache.
func cache(t *testing.T, name string) string {
	t.Helper()
	dir, err := os.UserCacheDir()
	if err == nil {
		dir = filepath.Join(dir, "mistral-ratelimit-go", name)
		err = os.MkdirAll(dir, 0o750)
	}
	if err != nil {
		t.Logf("the packages are not cached: %v", err)
		return t.TempDir()
	}
	return dir
}

// Run runs a command and returns its standard output. The command must end within the timeout. The error contains the
// standard error output.
func Run(t *testing.T, dir string, timeout time.Duration, input []byte, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // tests choose the command
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = dir, bytes.NewReader(input), &stdout, &stderr
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	if ctx.Err() != nil {
		err = errors.Join(err, fmt.Errorf("timeout of %v", timeout))
	}
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), err, stderr.Bytes())
	}
	return stdout.String(), err
}
