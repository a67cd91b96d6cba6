package emulator

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
)

// access detects requests that a web page of another site may have sent. In DNS rebinding,
// a page whose name resolves to this machine sends its own name as Host. For any other page
// the browser sends the page's Origin or a Sec-Fetch-Site.
type access struct {
	hosts   []string // canonical names; "*" allows any
	origins []string
}

// newAccess returns the access rules of a configuration, for a listener with these names.
func newAccess(cfg Config, names ...string) access {
	a := access{origins: slices.Clone(cfg.AllowedOrigins)}
	for _, name := range slices.Concat(cfg.AllowedHosts, names) {
		a.hosts = append(a.hosts, canonicalName(name))
	}
	return a
}

// validateAccess returns an error for host names and origins that cannot match any request.
func validateAccess(cfg Config) error {
	for i, name := range cfg.AllowedHosts {
		_, err := netip.ParseAddr(name)
		if name != "*" && err != nil && (name == "" || strings.ContainsAny(name, ":/@[]* ")) {
			return fmt.Errorf(`emulator: AllowedHosts[%d] is %q: must be a host name or an IP address without a port, or "*"`, i, name)
		}
	}
	for i, origin := range cfg.AllowedOrigins {
		u, err := url.Parse(origin)
		if err != nil || u.Scheme == "" || u.Host == "" || origin != u.Scheme+"://"+u.Host {
			return fmt.Errorf(`emulator: AllowedOrigins[%d] is %q: must be of the form "scheme://host" or "scheme://host:port"`, i, origin)
		}
	}
	return nil
}

// check returns the reason to reject a request, or "". For an origin in AllowedOrigins it
// ignores Sec-Fetch-Site.
func (a access) check(r *http.Request) string {
	if !a.allowsHost(r) {
		return fmt.Sprintf("Host %q is not allowed: use 127.0.0.1 or localhost, or add the name to Config.AllowedHosts (-allow-host of mistral-emulator)", wire.Short(r.Host))
	}
	listed := false
	for _, origin := range r.Header["Origin"] {
		known := slices.ContainsFunc(a.origins, func(o string) bool { return strings.EqualFold(o, origin) })
		if !known && !strings.EqualFold(origin, "http://"+r.Host) && !strings.EqualFold(origin, "https://"+r.Host) {
			return fmt.Sprintf("Origin %q is not allowed: add it to Config.AllowedOrigins (-allow-origin of mistral-emulator)", wire.Short(origin))
		}
		listed = listed || known
	}
	for _, site := range r.Header["Sec-Fetch-Site"] {
		if site != "same-origin" && site != "none" && !listed {
			return fmt.Sprintf("Sec-Fetch-Site %q is not allowed: add the page's origin to Config.AllowedOrigins (-allow-origin of mistral-emulator)", wire.Short(site))
		}
	}
	return ""
}

func (a access) allowsHost(r *http.Request) bool {
	// Without an http.Server, a test cannot know the name of the server. Its Host is that of
	// httptest.NewRequest, empty, or not a domain.
	if r.Context().Value(http.LocalAddrContextKey) == nil && (r.Host == "example.com" || !strings.Contains(r.Host, ".")) {
		return true
	}
	name := hostName(r.Host)
	return isLoopback(name) || slices.Contains(a.hosts, name) || slices.Contains(a.hosts, "*")
}

// isLoopback reports whether a canonical name always refers to the local machine.
func isLoopback(name string) bool {
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(name)
	return err == nil && addr.IsLoopback()
}

// hostName returns the canonical name of a Host header without its port, or "" if the port
// is not a number.
func hostName(host string) string {
	if name, port, err := net.SplitHostPort(host); err == nil {
		if _, err := strconv.ParseUint("0"+port, 10, 32); err != nil {
			return ""
		}
		return canonicalName(name)
	}
	return canonicalName(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
}

// canonicalName returns a name in lower case, without a final dot.
func canonicalName(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }
