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
		rule = "must have a port of 1 to 65535, or no port"
	case u.Host[0] != '[' && strings.ContainsAny(u.Hostname(), ":[]"):
		rule = "must have a host without colons or brackets, or an IPv6 address in brackets"
	case u.User != nil || strings.ContainsAny(base, "?#"):
		rule = "must not have a user (before an @), query (?) or fragment (#)"
	case u.Scheme == "http" && !allowHTTP && !isLoopback(u.Hostname()):
		rule = "must be https, because http sends the API key unencrypted: use http for loopback addresses, or set AllowHTTP"
	case slices.Contains(strings.Split(u.Path, "/"), "v1"):
		rule = "must not include /v1 or a path after it: the client adds them"
	default:
		return nil
	}
	return &ConfigError{Field: field, Value: shownURL(base), Rule: rule}
}

// shownURL returns a URL without the parts that may contain a secret.
func shownURL(base string) any {
	if !strings.ContainsAny(base, "@?#") {
		return base
	}
	if u, err := url.Parse(base); err == nil && u.Host != "" {
		return u.Scheme + "://" + u.Host + u.Path
	}
	return hiddenValue{}
}

// hiddenValue stands for a value that an error message must not show.
type hiddenValue struct{}

func (hiddenValue) String() string { return "not valid (hidden, may be secret)" }

// hostOf returns the scheme and authority of a valid URL.
func hostOf(base string) string {
	u, err := url.Parse(base)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Scheme + "://" + u.Host)
}

// isRemote reports whether a valid URL has a host that is not a loopback address.
func isRemote(base string) bool {
	u, err := url.Parse(base)
	return err != nil || !isLoopback(u.Hostname())
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// redacted replaces the API key wherever a Config is printed.
const redacted = "REDACTED"
