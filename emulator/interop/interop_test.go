// Package interop_test has Mistral's own TypeScript client talk to the emulator.
package interop_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// These three say which client in which version, and what is done with it.
var (
	//go:embed package.json
	manifest []byte
	//go:embed package-lock.json
	lock []byte
	//go:embed client.mjs
	script []byte
)

// steps are those that the script must print, in order.
var steps = []string{
	"start",
	"start with entries and settings",
	"start without storing",
	"structured output",
	"start stream",
	"append",
	"append stream",
	"restart",
	"restart stream",
	"history",
	"messages",
	"list conversations",
	"delete conversation",
	"agent",
	"agent versions",
	"agent aliases",
	"list agents",
	"delete agent",
	"function calling",
	"function calling stream",
	"tool choice",
	"web search",
	"web search stream",
	"other tools of the service",
	"confirmation",
	"handoff between agents",
	"guardrail",
	"handoff",
	"thinking",
	"429 of requests",
	"429 of tokens",
	"429 and the client's own retries",
	"401",
	"404",
	"422",
	"an error within a stream",
	"a stream that is left early",
}

// operations are all that the API has; the client must have used each.
var operations = []string{
	"StartConversation", "StartConversationStream", "AppendConversation", "AppendConversationStream",
	"RestartConversation", "RestartConversationStream", "ListConversations", "GetConversation",
	"DeleteConversation", "GetConversationHistory", "GetConversationMessages",
	"CreateAgent", "GetAgent", "UpdateAgent", "DeleteAgent", "ListAgents", "ListAgentPages",
	"UpdateAgentVersion", "ListAgentVersions", "GetAgentVersion",
	"CreateAgentVersionAlias", "ListAgentVersionAliases", "DeleteAgentVersionAlias",
}

// The client is told the URL and nothing else; it must not see that this is not the
// service.
func TestOfficialClient(t *testing.T) {
	node, npm := tools(t)
	dir := install(t, npm)

	server, err := emulator.Start(emulator.Config{
		APIKey: "interop-key",
		Limits: map[string]emulator.Limit{
			"one-request":  {RequestsPerSecond: 0.001},
			"few-requests": {RequestsPerSecond: 1},
			"few-tokens":   {TokensPerMinute: 1},
		},
		Model:       model,
		OnViolation: func(err error) { t.Errorf("the emulator sent what the document has not: %v", err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })

	out, err := run(t, dir, time.Minute, script, node, "--input-type=module", "-", server.URL())
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	for i, name := range steps {
		t.Run(name, func(t *testing.T) {
			if i >= len(lines) {
				t.Fatal("the script ended before this step")
			}
			if got, want := lines[i], name+": ok"; got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
	for _, line := range lines[min(len(steps), len(lines)):] {
		t.Errorf("not a step that is known here: %s", line)
	}
	if err != nil {
		t.Error(err)
	}

	stats := server.Stats()
	for _, name := range operations {
		if stats.Operations[name] == 0 {
			t.Errorf("the client did not use %s", name)
		}
	}
	if refused := stats.Total().Refused(); refused < 3 || refused != stats.Statuses[http.StatusTooManyRequests] {
		t.Errorf("%d requests were refused, %d answered 429; want the same number, and at least 3",
			refused, stats.Statuses[http.StatusTooManyRequests])
	}
}

// model adds to the default model what that never does of its own accord.
func model(ctx context.Context, p emulator.Prompt) emulator.Reply {
	switch p.Text() {
	case "hand over":
		return emulator.Reply{Text: "The workshop is here.", Entries: []generated.Entry{
			generated.NewEntry(generated.AgentHandoffEntry{
				PreviousAgentID: "ag_1", PreviousAgentName: "front desk", NextAgentID: "ag_2", NextAgentName: "workshop",
			}),
		}}
	case "think":
		return emulator.Reply{Entries: []generated.Entry{
			generated.NewEntry(generated.MessageOutputEntry{Content: generated.NewChunkContent(
				generated.NewContentChunk(generated.ThinkChunk{
					Thinking: []generated.ContentChunk{generated.NewContentChunk(generated.TextChunk{Text: "A thought."})},
				}),
				generated.NewContentChunk(generated.TextChunk{Text: "An answer."}),
			)}),
		}}
	case "break off":
		return emulator.Reply{Text: "So far", Err: &emulator.Error{
			Status: http.StatusServiceUnavailable, Message: "the model has gone away",
		}}
	default:
		return emulator.DefaultModel(ctx, p)
	}
}

// oldest is the first major version of Node.js that has all that the client builds on.
const oldest = 18

var majorVersion = regexp.MustCompile(`^v([0-9]+)\.`)

// tools returns where node and npm are. Without them there is nothing to test.
func tools(t *testing.T) (node, npm string) {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skipf("There is no node on the PATH: install Node.js %d or later, with npm, to have Mistral's own client tried against the emulator.", oldest)
	}
	npm, err = exec.LookPath("npm")
	if err != nil {
		t.Skip("There is no npm on the PATH, though there is a node: install npm to have Mistral's own client tried against the emulator.")
	}
	version, err := run(t, t.TempDir(), time.Minute, nil, node, "--version")
	if err != nil {
		t.Fatal(err)
	}
	found := majorVersion.FindStringSubmatch(version)
	if found == nil {
		t.Fatalf("node --version says %q", version)
	}
	if major, err := strconv.Atoi(found[1]); err == nil && major < oldest {
		t.Skipf("The node on the PATH is %s: install Node.js %d or later to have Mistral's own client tried against the emulator.",
			strings.TrimSpace(version), oldest)
	}
	return node, npm
}

// install returns a directory from which the client can be imported. It is kept in the
// user's cache, by what the two files say; another run of this test may be at it too.
func install(t *testing.T, npm string) string {
	t.Helper()
	hash := sha256.New()
	hash.Write(manifest)
	hash.Write(lock)
	parent := cache(t)
	dir := filepath.Join(parent, hex.EncodeToString(hash.Sum(nil))[:16])
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "@mistralai", "mistralai", "package.json")); err == nil {
		return dir
	}

	fresh, err := os.MkdirTemp(parent, "new-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(fresh) })
	for name, data := range map[string][]byte{"package.json": manifest, "package-lock.json": lock} {
		if err := os.WriteFile(filepath.Join(fresh, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := run(t, fresh, 5*time.Minute, nil, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"); err != nil {
		t.Fatalf("the client could not be installed, for which npm needs its registry once: %v", err)
	}
	if err := os.Rename(fresh, dir); err != nil {
		t.Logf("%s is used, and not kept: %v", fresh, err) // As when another run was quicker.
		return fresh
	}
	return dir
}

// cache is a directory in the user's cache; where that cannot be, nothing is kept.
func cache(t *testing.T) string {
	t.Helper()
	dir, err := os.UserCacheDir()
	if err == nil {
		dir = filepath.Join(dir, "mistral-ratelimit-go", "interop")
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		t.Logf("the client is installed anew each time: %v", err)
		return t.TempDir()
	}
	return dir
}

// run returns what a command prints; its error has what it complains of.
func run(t *testing.T, dir string, most time.Duration, input []byte, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), most)
	defer cancel()
	var out, complaints bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
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
