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

// pathVariable is an environment variable of the killed processes.
const pathVariable = "STATEFILE_TEST_PATH"

// A value is large, so that the process is killed while it writes one.
type value struct {
	Number int
	Text   string
}

func newValue(n int) value { return value{n, strings.Repeat(fmt.Sprint(n%10), 4<<20)} }

// TestWriteUntilKilled is the program of the killed processes.
func TestWriteUntilKilled(t *testing.T) {
	path := os.Getenv(pathVariable)
	if path == "" {
		t.Skip("runs only in a process of TestKilled")
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

// After a process is killed, the file is complete, the lock is free, and other files do not accumulate.
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
			t.Fatalf("the process prints %q, error %v", line, err)
		}
		if _, err := statefile.Open(path); !errors.Is(err, statefile.ErrLocked) {
			t.Errorf("error %v while a process uses the file, want ErrLocked", err)
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
		_ = writer.Wait() // it was killed

		file, err := statefile.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		var v value
		if found, err := file.Read(&v); !found || err != nil || v != newValue(v.Number) {
			t.Errorf("the file of a killed process: found %v, error %v, number %d", found, err, v.Number)
		}
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range left {
		switch entry.Name() {
		case "state", "state.lock", "state.tmp":
		default:
			t.Errorf("the file %s remains", entry.Name())
		}
	}
}
