package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Without a key and arguments, the program uses the emulator and starts itself as the MCP server.
func TestProgram(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "mcp")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	command := exec.CommandContext(t.Context(), program)
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "MISTRAL_API_KEY=") {
			command.Env = append(command.Env, variable)
		}
	}
	out, err := command.CombinedOutput()
	want := `Using the embedded emulator: MISTRAL_API_KEY is not set.
approved: library_lend
turn 1: library_find: the library only has books about ships
turn 2: library_find: Moby-Dick
turn 3: library_lend: lent: Moby-Dick
model: Here is Moby-Dick.
`
	if err != nil || string(out) != want {
		t.Errorf("%v\n%s\nwant\n%s", err, out, want)
	}
}
