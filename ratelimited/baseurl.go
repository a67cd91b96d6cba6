package ratelimited

import (
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

func checkBaseURL(field, base string, allowHTTP bool) error {
	u, err := url.Parse(base)
	if err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" {
		return &ConfigError{Field: field, Value: shownURL(base), Rule: "must be an absolute URL such as " + DefaultBaseURL}
	}
	port, err := strconv.Atoi(u.Port())
	var rule string
	switch {
	case u.Port() != "" && (err != nil || port < 1 || port > 65535):
		rule = "must have a port of 1 to 65535, or none"
	case u.Host[0] != '[' && strings.ContainsAny(u.Hostname(), ":[]"):
		rule = "must have a host without colons or brackets, or an IPv6 address in brackets"
	case u.User != nil || strings.ContainsAny(base, "?#"):
		rule = "must have no user (before an @), query (?) or fragment (#)"
	case u.Scheme == "http" && !allowHTTP && !isLoopback(u.Hostname()):
		rule = "must be https: the key would travel in the clear; http is for loopback addresses, or needs AllowHTTP"
	case slices.Contains(strings.Split(u.Path, "/"), "v1"):
		rule = "must not include /v1 or what follows it: the client adds that"
	default:
		return nil
	}
	return &ConfigError{Field: field, Value: shownURL(base), Rule: rule}
}

// shownURL is a URL without those parts that may hold a secret.
func shownURL(base string) any {
	if !strings.ContainsAny(base, "@?#") {
		return base
	}
	if u, err := url.Parse(base); err == nil && u.Host != "" {
		return u.Scheme + "://" + u.Host + u.Path
	}
	return hidden{}
}

// hidden is a value that an error message does not show.
type hidden struct{}

func (hidden) String() string { return "not valid (it is not shown: it may hold a secret)" }

// hostOf is the scheme and authority of a URL that is valid.
func hostOf(base string) string {
	u, err := url.Parse(base)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Scheme + "://" + u.Host)
}

// isRemote reports whether a valid URL is not that of a loopback address.
func isRemote(base string) bool {
	u, err := url.Parse(base)
	return err != nil || !isLoopback(u.Hostname())
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// redacted stands for a key wherever a Config is printed.
const redacted = "REDACTED"
