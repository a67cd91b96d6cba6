// Command specdiff says, in words, how Mistral's API has changed since the
// committed document was made.
//
//	go -C openapi/specdiff run . -upstream /path/to/full.yaml
//
// Upstream's full document goes through openapi/trim, run by the go command as
// it is a command of another module, and the result is compared with
// openapi/openapi.yaml. A document that the overlay no longer fits makes trim
// fail. The report then ends with what trim names, and the comparison is made
// with a looser trim of its own (see loose.go), so that one change too many for
// the overlay does not hide the others.
//
// The comparison is oasdiff's changelog: its rules know a request from a
// response and what each change means for a client, and they cover OpenAPI 3.1
// (null among the types, const, discriminators). oasdiff needs a later Go than
// this project does, and its last release that does not, 1.11.8, overlooks const.
// It is therefore a tool in a module file of its own, oasdiff.mod, pinned by
// oasdiff.sum, and never a dependency. Three things are added to what it says:
// its lines are put together, as one change of a schema shows in every operation
// that uses it; components that have come, gone or changed their name are named,
// as their names are those of Go types; and a difference that no rule covers is
// reported by its place. What oasdiff takes for several changes is said as one: a
// path parameter of another name, a further way to authenticate.
//
// The first lines name the two documents of the vendor's, by the file UPSTREAM. The
// document here has words of its own, so the vendor's are compared by the fingerprints in
// upstream.yaml; their changes are listed and are not counted as changes.
//
// The exit status is 0 without changes, 1 with some and 2 when the comparison
// cannot be made. Note that "go run" turns each failure into 1.
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
	same     = 0
	changed  = 1
	unusable = 2
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// inputs are the files that a comparison reads, and the module it runs trim in.
type inputs struct{ upstream, overlay, committed, repo, programs string }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var in inputs
	flags := flag.NewFlagSet("specdiff", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&in.repo, "repo", "../..", "path to the root of this repository")
	flags.StringVar(&in.upstream, "upstream", "", "path to Mistral's full OpenAPI document (required)")
	flags.StringVar(&in.overlay, "overlay", "", "path to the overlay (default openapi/overlay.yaml in the repository)")
	flags.StringVar(&in.committed, "committed", "", "path to the document to compare with (default openapi/openapi.yaml in the repository)")
	flags.StringVar(&in.programs, "programs", "", "directory of the programs trim and oasdiff (default the go command makes them)")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return same
		}
		return unusable
	}
	if in.upstream == "" || flags.NArg() > 0 {
		_, _ = fmt.Fprintln(stderr, "specdiff: -upstream is required: the path to Mistral's full OpenAPI document")
		return unusable
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
		return unusable
	}
	_, _ = io.WriteString(stdout, r.String())
	if r.empty() {
		return same
	}
	return changed
}

// compare makes the report.
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

	fit, err := trim(ctx, in, trimmed)
	if err != nil {
		return nil, err
	}
	origins, err := readOrigins(in)
	if err != nil {
		return nil, err
	}
	reworded, err := compareWording(in, upstream)
	if err != nil {
		return nil, err
	}
	loose := len(fit.misfits) > 0
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
		// The lines of what is compared are those of the file.
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
	r := newReport(fit, changes)
	r.origins = origins
	r.wording = reworded
	return r, nil
}
