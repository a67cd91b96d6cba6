package schema

import (
	"encoding/base64"
	"net/mail"
	"net/netip"
	"net/url"
	"regexp"
	"time"
)

var uuid = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// formats are the checked formats, each with its description and its check.
var formats = map[string]struct {
	rule string
	is   func(text string) bool
}{
	"date-time": {"a date and time such as 2026-01-31T12:00:00Z", layout(time.RFC3339)},
	"date":      {"a date such as 2026-01-31", layout(time.DateOnly)},
	"time":      {"a time such as 12:00:00Z", layout("15:04:05Z07:00")},
	"email":     {"an e-mail address", func(s string) bool { a, err := mail.ParseAddress(s); return err == nil && a.Address == s }},
	"uri":       {"a URI with a scheme", func(s string) bool { u, err := url.Parse(s); return err == nil && u.IsAbs() }},
	"uuid":      {"a UUID", uuid.MatchString},
	"ipv4":      {"an IPv4 address", func(s string) bool { a, err := netip.ParseAddr(s); return err == nil && a.Is4() }},
	"ipv6":      {"an IPv6 address", func(s string) bool { a, err := netip.ParseAddr(s); return err == nil && a.Is6() }},
}

func layout(form string) func(string) bool {
	return func(text string) bool { _, err := time.Parse(form, text); return err == nil }
}

// formatRule returns the rule that a text breaks, or "".
func formatRule(format, encoding, text string) string {
	if f, ok := formats[format]; ok && !f.is(text) {
		return f.rule
	}
	if encoding == "base64" {
		if _, err := base64.StdEncoding.DecodeString(text); err != nil {
			return "base64 text"
		}
	}
	return ""
}
