// Package interop_test runs tools of the MCP reference server, which is written in TypeScript.
package interop_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulatortest"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner/mcptools"
)

// The npm packages of the server and their versions.
var (
	//go:embed package.json
	manifest []byte
	//go:embed package-lock.json
	lock []byte
)

// program is the path of the server in its directory.
const program = "node_modules/@modelcontextprotocol/server-everything/dist/index.js"

func TestOverStdio(t *testing.T) {
	node, dir := install(t)
	test(t, &mcp.CommandTransport{Command: exec.Command(node, filepath.Join(dir, program), "stdio")})
}

func TestOverHTTP(t *testing.T) {
	node, dir := install(t)
	address := freeAddress(t)
	_, port, _ := strings.Cut(address, ":")
	server := exec.CommandContext(t.Context(), node, filepath.Join(dir, program), "streamableHttp")
	server.Env = append(os.Environ(), "PORT="+port)
	server.WaitDelay = 5 * time.Second
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	await(t, "http://"+address+"/mcp")
	test(t, &mcp.StreamableClientTransport{Endpoint: "http://" + address + "/mcp"})
}

// test makes the emulator's model call tools of the server.
func test(t *testing.T, transport mcp.Transport) {
	t.Helper()
	session, err := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil).Connect(t.Context(), transport, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = session.Close() }()
	all, err := mcptools.Tools(t.Context(), session, mcptools.Prefix("e_"))
	if err != nil || len(all) < 8 {
		t.Fatalf("%d tools, %v", len(all), err)
	}
	client, server := emulatortest.New(t, emulatortest.WithScript(
		emulator.Calls(
			emulator.Call{Name: "e_echo", Arguments: map[string]any{"message": "hello"}},
			emulator.Call{Name: "e_get-sum", Arguments: map[string]any{"a": 2, "b": 3}},
			emulator.Call{Name: "e_get-tiny-image"},
			emulator.Call{Name: "e_echo", Arguments: map[string]any{"text": "hello"}},
		),
		emulator.Say("done"),
	))
	r, err := runner.New(client, runner.Config{Tools: all})
	if err != nil {
		t.Fatal(err)
	}
	result, err := r.Start(t.Context(), generated.StartConversationRequest{Model: "mistral-small-latest", Inputs: ratelimited.Text("Go!")})
	if err != nil || result.OutputText() != "done" {
		t.Fatalf("%v", err)
	}
	for i, want := range []string{"Echo: hello", "The sum of 2 and 3 is 5.", "[image, image/png, ", "/message: is required, but missing"} {
		if got := result.Turns[0].Calls[i]; !strings.Contains(got.Result, want) {
			t.Errorf("%s: %q, want %q", got.Name, got.Result, want)
		}
	}
	if sent := emulatortest.Requests[generated.StartConversationRequest](t, server); len(sent[0].Tools) != len(all) {
		t.Errorf("%d tools were sent, want %d", len(sent[0].Tools), len(all))
	}
}

// install returns the path of node and a directory with the server. The directory is kept in the
// user's cache, by the hash of the two files.
func install(t *testing.T) (node, dir string) {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not on the PATH: install Node.js 20 or later, with npm, to test with the MCP reference server")
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		t.Skip("npm is not on the PATH: install npm to test with the MCP reference server")
	}
	parent, err := os.UserCacheDir()
	if err == nil {
		parent = filepath.Join(parent, "mistral-ratelimit-go", "mcptools")
		err = os.MkdirAll(parent, 0o750)
	}
	if err != nil {
		t.Logf("the server is not cached: %v", err)
		parent = t.TempDir()
	}
	hash := sha256.Sum256(append(bytes.Clone(manifest), lock...))
	dir = filepath.Join(parent, hex.EncodeToString(hash[:8]))
	if _, err := os.Stat(filepath.Join(dir, program)); err == nil {
		return node, dir
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
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	command.Dir, command.WaitDelay = fresh, 5*time.Second
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("cannot install the server: npm needs access to its registry once: %v\n%s", err, out)
	}
	if err := os.Rename(fresh, dir); err != nil {
		t.Logf("%s is not cached: %v", fresh, err) // for example because another run was faster
		return node, fresh
	}
	return node, dir
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// await waits until a server responds.
func await(t *testing.T, url string) {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, fmt.Errorf("%s did not respond within a minute", url))
	defer cancel()
	ticks := time.NewTicker(50 * time.Millisecond)
	defer ticks.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if response, err := http.DefaultClient.Do(request); err == nil {
			_, _ = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(context.Cause(ctx))
		case <-ticks.C:
		}
	}
}
