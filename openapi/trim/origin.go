package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/openapi/internal/tree"
)

// An origin says which document of the vendor's something was made from.
type origin struct {
	date   string // of the document, YYYY-MM-DD
	sha256 string // of its bytes, in hexadecimal
}

// originKey is the keyword of a document's info that holds its origin.
const originKey = "x-upstream"

// originOf returns the origin that a kept part carries, or that of the vendor's document.
func originOf(doc *yaml.Node, content []byte, date string) origin {
	if kept := tree.Get(doc, "info", originKey); kept != nil {
		return origin{tree.Text(tree.Value(kept, "date")), tree.Text(tree.Value(kept, "sha256"))}
	}
	sum := sha256.Sum256(content)
	return origin{date, hex.EncodeToString(sum[:])}
}

func (o origin) writeTo(doc *yaml.Node) {
	tree.Set(tree.Value(doc, "info"), originKey, tree.Mapping("date", o.date, "sha256", o.sha256))
}

// String is the content of the file UPSTREAM.
func (o origin) String() string { return fmt.Sprintf("date: %s\nsha256: %s\n", o.date, o.sha256) }

// dateOf dates a vendor's document: with the date that is given, that which UPSTREAM has for
// the very same document, or else the time of the file.
func dateOf(given, upstream string, content []byte, known string) (string, error) {
	if given != "" {
		if _, err := time.Parse(time.DateOnly, given); err != nil {
			return "", fmt.Errorf("-date %q is not a date such as 2026-08-13", given)
		}
		return given, nil
	}
	sum := sha256.Sum256(content)
	if date, rest, ok := strings.Cut(known, "\n"); ok && rest == "sha256: "+hex.EncodeToString(sum[:])+"\n" {
		return strings.TrimPrefix(date, "date: "), nil
	}
	info, err := os.Stat(upstream)
	if err != nil {
		return "", err
	}
	return info.ModTime().UTC().Format(time.DateOnly), nil
}

// keep returns the part of the vendor's document that is used: our operations and what they
// reach. Of what is for people to read it has a fingerprint, by which a change can be
// noticed. Trim makes the same document of it as of the whole.
func keep(doc *yaml.Node, o origin) ([]byte, error) {
	kept := tree.Clone(doc)
	tree.Walk(kept, "", func(_ string, n *yaml.Node) { n.Style &^= yaml.FlowStyle })
	if err := prune(kept); err != nil {
		return nil, err
	}
	if tree.Get(doc, "info", originKey) == nil {
		tree.VisitObjects(kept, func(_ []string, n *yaml.Node) {
			tree.Filter(n, func(key string, _ *yaml.Node) bool { return !strings.HasPrefix(key, "x-") })
			for i := 0; i < len(n.Content); i += 2 {
				if tree.IsProse(n.Content[i].Value) {
					n.Content[i+1] = tree.Scalar(tree.Fingerprint(n.Content[i+1]))
				}
			}
		})
	}
	o.writeTo(kept)
	kept.HeadComment = "# Made by openapi/trim: the part of Mistral's OpenAPI document that is used, with fingerprints in place of prose. Do not edit."
	return encode(kept)
}
