// Package nodetest runs programs of Node.js in tests, where it is installed.
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

// Node returns the path of node. It skips the test if node, in the given major version or a later one, or npm is not
// on the PATH.
func Node(t *testing.T, oldest int) string {
	t.Helper()
	const rule = "install Node.js %d or later, with npm, to run this test"
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skipf("node is not on the PATH: "+rule, oldest)
	}
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skipf("npm is not on the PATH: "+rule, oldest)
	}
	version, err := Run(t, t.TempDir(), time.Minute, nil, node, "--version")
	if err != nil {
		t.Fatal(err)
	}
	found := majorVersion.FindStringSubmatch(version)
	if found == nil {
		t.Fatalf("node --version prints %q", version)
	}
	if major, err := strconv.Atoi(found[1]); err == nil && major < oldest {
		t.Skipf("node is %s: "+rule, strings.TrimSpace(version), oldest)
	}
	return node
}

// Install installs what a package.json and its package-lock.json name, and returns the directory. It is kept in the
// user's cache under the given name, for these two files; another run of the test may use it at the same time.
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

	fresh, err := os.MkdirTemp(parent, "new-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(fresh) })
	for name, data := range map[string][]byte{"package.json": manifest, "package-lock.json": lock} {
		if err := os.WriteFile(filepath.Join(fresh, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Run(t, fresh, 5*time.Minute, nil, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"); err != nil {
		t.Fatalf("npm cannot install the packages, for which it needs its registry once: %v", err)
	}
	if err := os.Rename(fresh, dir); err != nil {
		t.Logf("%s is not kept: %v", fresh, err) // as if another run was quicker
		return fresh
	}
	return dir
}

// cache returns a directory in the user's cache, or one for this test alone.
func cache(t *testing.T, name string) string {
	t.Helper()
	dir, err := os.UserCacheDir()
	if err == nil {
		dir = filepath.Join(dir, "mistral-ratelimit-go", name)
		err = os.MkdirAll(dir, 0o750)
	}
	if err != nil {
		t.Logf("the packages are installed anew each time: %v", err)
		return t.TempDir()
	}
	return dir
}

// Run returns what a command prints within the given time. Its error has the output for errors.
func Run(t *testing.T, dir string, most time.Duration, input []byte, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), most)
	defer cancel()
	var out, complaints bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // the tests say what is run
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = dir, bytes.NewReader(input), &out, &complaints
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	if ctx.Err() != nil {
		err = errors.Join(err, fmt.Errorf("it took more than %v", most))
	}
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), err, complaints.Bytes())
	}
	return out.String(), err
}
