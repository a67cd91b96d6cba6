package docs_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const ourPath = "github.com/mistral-ratelimit/mistral-ratelimit-go/"

// packages are what a block may use without importing it, by the names that it
// uses them by.
var packages = map[string]string{
	"context": "context", "errors": "errors", "fmt": "fmt", "http": "net/http", "json": "encoding/json", "log": "log", "os": "os", "filepath": "path/filepath", "signal": "os/signal",
	"slog": "log/slog", "synctest": "testing/synctest", "testing": "testing", "time": "time",
	"bulk": ourPath + "bulk", "contract": ourPath + "contract", "emulator": ourPath + "emulator", "emulatortest": ourPath + "emulatortest", "generated": ourPath + "generated", "limiter": ourPath + "limiter",
	"limitertest": ourPath + "limiter/limitertest", "ratelimited": ourPath + "ratelimited", "runner": ourPath + "runner", "sse": ourPath + "sse", "tokens": ourPath + "tokens",
	"redis": "github.com/redis/go-redis/v9", "redislimiter": ourPath + "limiter/redislimiter",
	"mcp": "github.com/modelcontextprotocol/go-sdk/mcp", "mcptools": ourPath + "runner/mcptools",
}

var (
	lineComment   = regexp.MustCompile(`//.*`)
	declared      = regexp.MustCompile(`(?m)^(\w+(?:, \w+)*) :=|^var (\w+) `)
	packageClause = regexp.MustCompile(`^package \w+\n`)
	declarations  = regexp.MustCompile(`^(?://.*\n)*(?:func|type) `)
)

// source makes a file of a package of a block: a program, declarations, or statements
// in a function that has at hand what README says is, and that uses what the block
// declares. What the compiler says of it names the document and its line. A whole
// file, be it a program's or a test's, is made one of a package, which saves linking it.
// Where the code has an ellipsis, the reader's statements go: a panic does for all.
func source(document, given string, s snippet) string {
	code := fmt.Sprintf("//line %s:%d\n%s", document, s.line, strings.ReplaceAll(s.code, "…", "panic(0)"))
	if clause := packageClause.FindString(s.code); clause != "" {
		return strings.Replace(code, clause, "package block\n", 1)
	}
	var b strings.Builder
	b.WriteString("package block\n\nimport (\n")
	plain := lineComment.ReplaceAllString(given+s.code, "")
	for _, name := range slices.Sorted(maps.Keys(packages)) {
		if regexp.MustCompile(`\b` + name + `\.\w`).MatchString(plain) {
			fmt.Fprintf(&b, "\t%s %q\n", name, packages[name])
		}
	}
	b.WriteString(")\n\n" + given + "\n")
	if declarations.MatchString(s.code) {
		return b.String() + code
	}
	fmt.Fprintf(&b, `func block(t *itsTesting.T, ctx itsContext.Context, client *itsClient.Client,
	request itsTypes.StartConversationRequest, requests []itsTypes.StartConversationRequest, err error) error {
{
%s`, code)
	for _, names := range declared.FindAllStringSubmatch(s.code, -1) {
		for name := range strings.SplitSeq(names[1]+names[2], ", ") {
			if name != "_" {
				fmt.Fprintf(&b, "_ = %s\n", name)
			}
		}
	}
	b.WriteString("}\nreturn nil\n}\n\nvar _ = block\n")
	return strings.Replace(b.String(), "import (\n", fmt.Sprintf("import (\n\titsClient %q\n\titsContext \"context\"\n\titsTesting \"testing\"\n\titsTypes %q\n",
		ourPath+"ratelimited", ourPath+"generated"), 1)
}

// compile builds the Go blocks of documents, and returns how many there are and
// what the compiler says. The go command sees them as packages of this module, or
// of those that have Redis and MCP, where none are.
func compile(t *testing.T, all ...document) (int, string) {
	t.Helper()
	root, err := filepath.Abs(module)
	if err != nil {
		t.Fatal(err)
	}
	temporary := t.TempDir()
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	blocks := map[string][]string{} // by the directory of the module
	count := 0
	for _, d := range all {
		for _, s := range d.snippets {
			if s.lang != "go" {
				continue
			}
			count++
			in := root
			if strings.Contains(s.code, "redislimiter.") {
				in = filepath.Join(root, "examples", "shared")
			}
			if strings.Contains(s.code, "mcptools.") {
				in = filepath.Join(root, "examples", "mcp")
			}
			name := fmt.Sprintf("block%d", count)
			file := filepath.Join(temporary, name+".go")
			if err := os.WriteFile(file, []byte(source(filepath.Join(root, d.path), d.given, s)), 0o600); err != nil {
				t.Fatal(err)
			}
			overlay.Replace[filepath.Join(in, name, "block.go")] = file
			blocks[in] = append(blocks[in], "./"+name)
		}
	}
	config, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	overlayFile := filepath.Join(temporary, "overlay.json")
	if err := os.WriteFile(overlayFile, config, 0o600); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	for in, names := range blocks {
		command := exec.CommandContext(t.Context(), "go", append([]string{"build", "-overlay", overlayFile}, names...)...)
		command.Dir = in
		if out, err := command.CombinedOutput(); err != nil {
			fmt.Fprintf(&said, "%v\n%s", err, out)
		}
	}
	return count, said.String()
}

func TestCodeThatDoesNotCompileIsFound(t *testing.T) {
	t.Parallel()
	const bad = "```go\nclient.Beta.Nonsense()\n```\n" +
		"```go\npackage main\n\nfunc main() { none() }\n```\n" +
		"```go\n// f fails.\nfunc f() int { return \"\" }\n```\n" +
		"```go\nredislimiter.Close()\n```\n" +
		"```go\nstrange.Call()\n```\n"
	count, said := compile(t, parse("docs.md", bad))
	for _, want := range []string{
		"docs.md:2: client.Beta.Nonsense undefined", "docs.md:7: undefined: none", "docs.md:11: cannot use",
		"docs.md:14: undefined: redislimiter.Close", "docs.md:17: undefined: strange",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("%d blocks, the compiler says %q, want %q", count, said, want)
		}
	}
	if _, said := compile(t, parse("docs.md", "```go\nclient.Close(\n```\n")); !strings.Contains(said, "docs.md:") {
		t.Errorf("of a syntax error the compiler says %q", said)
	}
	const good = "```go\nresponse, err := client.Beta.Conversations.Start(ctx, request)\n_, n := 1, 2\nvar d time.Duration // limiter.Never\n```\n" +
		"```go\nstore, err := redislimiter.Open(ctx, redis.NewClient(&redis.Options{}), redislimiter.Config{})\n```\n" +
		"```go\nfunc f(t *testing.T) { contract.Client(t, nil) }\n```\n```\nno Go\n```\n"
	if count, said := compile(t, parse("docs.md", good)); count != 3 || said != "" {
		t.Errorf("%d blocks, the compiler says %q, want 3 and nothing", count, said)
	}
}

func TestCode(t *testing.T) {
	t.Parallel()
	for _, d := range ours(t) {
		t.Run(d.path, func(t *testing.T) {
			t.Parallel()
			count, said := compile(t, d)
			if said != "" {
				t.Error(said)
			}
			if least := map[string]int{"README.md": 5, "docs/usage.md": 6, "docs/agents.md": 5, "docs/testing.md": 4}[d.path]; count < least {
				t.Errorf("it has %d blocks of Go, want at least %d", count, least)
			}
		})
	}
}
