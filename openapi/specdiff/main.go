// Command specdiff reports how Mistral's API has changed since the committed document was
// generated.
//
//	go -C openapi/specdiff run . -upstream /path/to/full.yaml
//
// The command runs openapi/trim on upstream's full document with the go command, and compares the
// result with openapi/openapi.yaml. If the overlay does not match the document, trim fails. The
// report then ends with the errors of trim, and the command compares the result of a lenient trim
// (see loose.go). An error of the overlay therefore does not hide other changes.
//
// The comparison is the changelog of oasdiff. Its rules distinguish requests and responses and
// whether a change breaks a client, and they support OpenAPI 3.1 (null types, const,
// discriminators). oasdiff needs a later Go version than this project. Its last release without
// this requirement, 1.11.8, ignores const. Therefore oasdiff is a tool in a separate module file,
// oasdiff.mod with oasdiff.sum, and not a dependency. The command changes the changelog in these
// ways:
//
//   - It merges the lines of one schema, which oasdiff repeats for each operation.
//   - It reports added, removed and renamed components, because their names are names of Go types.
//   - It reports the place of each difference for which oasdiff does not have a rule.
//   - It reports a renamed path parameter or another way to authenticate as one change.
//
// The first lines identify the two vendor documents by the file UPSTREAM. The committed document
// contains the project's own descriptions. The command therefore compares the vendor's descriptions
// with the fingerprints in upstream.yaml. It lists their changes but does not count them.
//
// The exit status is 0 without changes, 1 with changes, and 2 if the comparison fails. "go run"
// replaces every other status than 0 with 1.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// The exit statuses.
const (
	statusSame    = 0
	statusChanged = 1
	statusFailed  = 2
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// inputs holds the flags.
type inputs struct{ upstream, overlay, committed, repo, programs string }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var in inputs
	flags := flag.NewFlagSet("specdiff", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&in.repo, "repo", "../..", "path to the root of this repository")
	flags.StringVar(&in.upstream, "upstream", "", "path to Mistral's full OpenAPI document (required)")
	flags.StringVar(&in.overlay, "overlay", "", "path to the overlay (default openapi/overlay.yaml in the repository)")
	flags.StringVar(&in.committed, "committed", "", "path to the committed document (default openapi/openapi.yaml in the repository)")
	flags.StringVar(&in.programs, "programs", "", "directory with the programs trim and oasdiff (default: the go command builds them)")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return statusSame
		}
		return statusFailed
	}
	if in.upstream == "" || flags.NArg() > 0 {
		_, _ = fmt.Fprintln(stderr, "specdiff: -upstream is required: the path to Mistral's full OpenAPI document")
		return statusFailed
	}
	if in.overlay == "" {
		in.overlay = filepath.Join(in.repo, "openapi", "overlay.yaml")
	}
	if in.committed == "" {
		in.committed = filepath.Join(in.repo, "openapi", "openapi.yaml")
	}
	r, err := compare(ctx, in)
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "specdiff: %v\n", err)
		return statusFailed
	}
	_, _ = io.WriteString(stdout, r.String())
	if r.empty() {
		return statusSame
	}
	return statusChanged
}

// compare returns the report.
func compare(ctx context.Context, in inputs) (*report, error) {
	committed, err := readDocument(in.committed)
	if err != nil {
		return nil, err
	}
	upstream, err := readDocument(in.upstream)
	if err != nil {
		return nil, err
	}
	overlayText, err := os.ReadFile(in.overlay)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "specdiff")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	trimmed := filepath.Join(dir, "trimmed.yaml")

	overlay, err := trim(ctx, in, trimmed)
	if err != nil {
		return nil, err
	}
	origins, err := readOrigins(in)
	if err != nil {
		return nil, err
	}
	descriptions, err := compareDescriptions(in, upstream)
	if err != nil {
		return nil, err
	}
	loose := len(overlay.errors) > 0
	if loose {
		if err := writeLoose(upstream, committed, overlayText, trimmed); err != nil {
			return nil, err
		}
	}
	fresh, err := readDocument(trimmed)
	if err != nil {
		return nil, err
	}
	renamed := renames(committed, fresh)
	moved := restoreParameters(committed, fresh)
	if len(renamed) > 0 || len(moved) > 0 {
		restoreNames(fresh, renamed)
		if err := writeDocument(trimmed, fresh); err != nil {
			return nil, err
		}
		// Read the file again to get the line numbers that oasdiff reports.
		if fresh, err = readDocument(trimmed); err != nil {
			return nil, err
		}
	}
	security := compareSecurity(committed, fresh)
	found, err := oasdiff(ctx, in, trimmed)
	if err != nil {
		return nil, err
	}
	if loose {
		found = withoutLoose(found)
	}
	docs := newDocuments(committed, fresh)
	changes := slices.Concat(merge(found, docs), compareComponents(committed, fresh, renamed), moved, security)
	if !loose {
		changes = append(changes, uncovered(found, docs)...)
	}
	r := newReport(overlay, changes)
	r.origins = origins
	r.descriptions = descriptions
	return r, nil
}
