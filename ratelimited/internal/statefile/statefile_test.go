package statefile_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited/internal/statefile"
)

// pathVariable is the environment variable of the processes that are killed. It contains the path of the file.
const pathVariable = "STATEFILE_TEST_PATH"

// value is a large value, so that a process is killed while it writes the value.
type value struct {
	Number int
	Text   string
}

// newValue returns the n-th value.
func newValue(n int) value { return value{n, strings.Repeat(fmt.Sprint(n%10), 4<<20)} }

// TestWriteUntilKilled runs in the processes that TestKilled starts and kills.
func TestWriteUntilKilled(t *testing.T) {
	path := os.Getenv(pathVariable)
	if path == "" {
		t.Skip("only for the processes that TestKilled starts")
	}
	file, err := statefile.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 100_000 {
		if err := file.Write(newValue(n)); err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			fmt.Println("written")
		}
	}
}

// After a process was killed at any time, the file is complete and unlocked, and no further files remain.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	for range 3 {
		writer := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestWriteUntilKilled$")
		writer.Env = append(os.Environ(), pathVariable+"="+path)
		out, err := writer.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := writer.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); line != "written\n" {
			t.Fatalf("the process prints %q: %v", line, err)
		}
		if _, err := statefile.Open(path); !errors.Is(err, statefile.ErrLocked) {
			t.Errorf("while a process uses the file, Open returns %v, want ErrLocked", err)
		}
		for unfinished := 0; unfinished == 0; { // wait until the process writes
			temporary, err := filepath.Glob(path + "*tmp")
			if err != nil {
				t.Fatal(err)
			}
			unfinished = len(temporary)
		}
		if err := writer.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = writer.Wait() // returns an error, because the process was killed

		file, err := statefile.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		var v value
		if found, err := file.Read(&v); !found || err != nil || v != newValue(v.Number) {
			t.Errorf("Read after the kill returns %v, %v with number %d, want a complete value", found, err, v.Number)
		}
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		switch entry.Name() {
		case "state", "state.lock", "state.tmp":
		default:
			t.Errorf("the file %s remains", entry.Name())
		}
	}
}
