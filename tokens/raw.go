package tokens

import (
	"regexp"
	"strings"
)

// minBase64 is the minimum length of base64 text that counts as a file. Words are shorter, and ids usually too.
const minBase64 = 256

// base64Pattern matches text that is probably base64, also in its URL-safe form, with the prefix of a data URL if
// present.
var base64Pattern = regexp.MustCompile(`(?:data:[\w.+/;=-]{0,100},)?[A-Za-z0-9+/_-]{256,1000}(?:[A-Za-z0-9+/_-]|\\/)*={0,2}`)

// countUnknown counts JSON of an unknown type. It counts files in base64 as parts of the kind that the type's name
// suggests, and the rest as text.
func (c *Counter) countUnknown(p *Parts, name, text string) {
	if len(text) < minBase64 {
		p.Text += c.Text(text)
		return
	}
	rest := base64Pattern.ReplaceAllStringFunc(text, func(file string) string {
		switch name := strings.ToLower(name + " " + file[:min(len(file), 40)]); {
		case strings.Contains(name, "audio"):
			p.Audio++
		case strings.Contains(name, "image"):
			p.Images++
		case strings.Contains(name, "document"), strings.Contains(name, "file"), strings.Contains(name, "pdf"):
			p.Documents++
		default:
			p.Others++
		}
		return ""
	})
	p.Text += c.Text(rest)
}
