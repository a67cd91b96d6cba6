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

// packages holds the packages that a block may use without an import, by package name.
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
	declaration   = regexp.MustCompile(`^(?://.*\n)*(?:func|type) `)
)

// source returns a Go file for a block. The block is a whole file, declarations, or
// statements. Statements become the body of a function with the parameters that README
// declares. A line directive makes compiler errors refer to the document. A whole file
// becomes part of a normal package, which saves linking a program. A panic replaces each
// ellipsis, which stands for the reader's statements.
func source(document, declarations string, s snippet) string {
	code := fmt.Sprintf("//line %s:%d\n%s", document, s.line, strings.ReplaceAll(s.code, "…", "panic(0)"))
	if clause := packageClause.FindString(s.code); clause != "" {
		return strings.Replace(code, clause, "package block\n", 1)
	}
	var b strings.Builder
	b.WriteString("package block\n\nimport (\n")
	plain := lineComment.ReplaceAllString(declarations+s.code, "")
	for _, name := range slices.Sorted(maps.Keys(packages)) {
		if regexp.MustCompile(`\b` + name + `\.\w`).MatchString(plain) {
			fmt.Fprintf(&b, "\t%s %q\n", name, packages[name])
		}
	}
	b.WriteString(")\n\n" + declarations + "\n")
	if declaration.MatchString(s.code) {
		return b.String() + code
	}
	fmt.Fprintf(&b, `func block(t *blockTesting.T, ctx blockContext.Context, client *blockClient.Client,
	request blockTypes.StartConversationRequest, requests []blockTypes.StartConversationRequest, err error) error {
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
	return strings.Replace(b.String(), "import (\n", fmt.Sprintf("import (\n\tblockClient %q\n\tblockContext \"context\"\n\tblockTesting \"testing\"\n\tblockTypes %q\n",
		ourPath+"ratelimited", ourPath+"generated"), 1)
}

// compile builds the Go blocks of documents. It returns the number of blocks and the
// output of the compiler. An overlay of the go command adds the blocks as packages to this
// module, or to the modules with Redis or MCP.
func compile(t *testing.T, all ...document) (int, string) {
	t.Helper()
	root, err := filepath.Abs(module)
	if err != nil {
		t.Fatal(err)
	}
	temporary := t.TempDir()
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	blocks := map[string][]string{} // the packages by the directory of their module
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
			if err := os.WriteFile(file, []byte(source(filepath.Join(root, d.path), d.declarations, s)), 0o600); err != nil {
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
	var output strings.Builder
	for in, names := range blocks {
		command := exec.CommandContext(t.Context(), "go", append([]string{"build", "-overlay", overlayFile}, names...)...)
		command.Dir = in
		if out, err := command.CombinedOutput(); err != nil {
			fmt.Fprintf(&output, "%v\n%s", err, out)
		}
	}
	return count, output.String()
}

func TestInvalidCodeIsReported(t *testing.T) {
	t.Parallel()
	const bad = "```go\nclient.Beta.Unknown()\n```\n" +
		"```go\npackage main\n\nfunc main() { none() }\n```\n" +
		"```go\n// f fails.\nfunc f() int { return \"\" }\n```\n" +
		"```go\nredislimiter.Close()\n```\n" +
		"```go\nunknown.Call()\n```\n"
	count, output := compile(t, parse("docs.md", bad))
	for _, want := range []string{
		"docs.md:2: client.Beta.Unknown undefined", "docs.md:7: undefined: none", "docs.md:11: cannot use",
		"docs.md:14: undefined: redislimiter.Close", "docs.md:17: undefined: unknown",
	} {
		if !strings.Contains(output, want) {
			t.Errorf("%d blocks and compiler output %q, want %q", count, output, want)
		}
	}
	if _, output := compile(t, parse("docs.md", "```go\nclient.Close(\n```\n")); !strings.Contains(output, "docs.md:") {
		t.Errorf("the compiler output for a syntax error is %q", output)
	}
	const good = "```go\nresponse, err := client.Beta.Conversations.Start(ctx, request)\n_, n := 1, 2\nvar d time.Duration // limiter.Never\n```\n" +
		"```go\nstore, err := redislimiter.Open(ctx, redis.NewClient(&redis.Options{}), redislimiter.Config{})\n```\n" +
		"```go\nfunc f(t *testing.T) { contract.Client(t, nil) }\n```\n```\nno Go\n```\n"
	if count, output := compile(t, parse("docs.md", good)); count != 3 || output != "" {
		t.Errorf("%d blocks and compiler output %q, want 3 blocks and no output", count, output)
	}
}

func TestCode(t *testing.T) {
	t.Parallel()
	for _, d := range moduleDocuments(t) {
		t.Run(d.path, func(t *testing.T) {
			t.Parallel()
			count, output := compile(t, d)
			if output != "" {
				t.Error(output)
			}
			if minimum := map[string]int{"README.md": 5, "docs/usage.md": 6, "docs/agents.md": 5, "docs/testing.md": 4}[d.path]; count < minimum {
				t.Errorf("%s contains %d Go blocks, want at least %d", d.path, count, minimum)
			}
		})
	}
}
