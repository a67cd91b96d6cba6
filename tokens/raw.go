package tokens

import (
	"regexp"
	"strings"
)

// minEncoded is the length from which a run of base64 characters is a file, not text: no word
// is as long, and an id seldom.
const minBase64 = 256

// encoded finds what is likely to be base64, in its URL-safe form too, with the prefix of a
// data URL.
var base64Pattern = regexp.MustCompile(`(?:data:[\w.+/;=-]{0,100},)?[A-Za-z0-9+/_-]{256,1000}(?:[A-Za-z0-9+/_-]|\\/)*={0,2}`)

// raw counts JSON of a type that this package does not know: files in base64 as parts of a
// kind that the type's name suggests, the rest as text.
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
