package wire

import (
	"fmt"
	"net/http"
	"slices"

	"golang.org/x/net/http/httpguts"
)

// CheckHeader returns an error for a header field that a response must not set.
func CheckHeader(name, value string) error {
	switch {
	case !httpguts.ValidHeaderFieldName(name):
		return fmt.Errorf("header: must be the name of a header field, got %q", name)
	case !httpguts.ValidHeaderFieldValue(value):
		return fmt.Errorf("header %q: must not contain control characters, got %q", name, value)
	case slices.Contains([]string{"Content-Length", "Transfer-Encoding", "Connection"}, http.CanonicalHeaderKey(name)):
		return fmt.Errorf("header: must be one that the server does not set, got %q", name)
	}
	return nil
}
