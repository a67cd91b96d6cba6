package fault

import (
	"net/http"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/contract"
)

// Call is a request that belongs to an operation.
type Call struct {
	Operation    string // the operationId
	Stream       bool   // whether the call asks for a stream
	Model        string // that it runs; "" for none
	Method, Path string // the path as it was sent
}

var (
	streamed  = []string{"StartConversation", "AppendConversation", "RestartConversation"}
	methods   = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}
	parameter = regexp.MustCompile(`\{[^{}/]*\}`)
)

// Matcher returns a function that reports whether a call is one that the fault can be
// injected into. The error reports an Operation that is unknown.
func (f Fault) Matcher() (func(Call) bool, error) {
	matches, err := operationMatcher(f.Operation)
	if err != nil {
		return nil, err
	}
	return func(c Call) bool {
		return f.Kind.Matches(c.Stream) && (f.Model == "" || f.Model == c.Model) && matches(c)
	}, nil
}

func operationMatcher(text string) (func(Call) bool, error) {
	if text == "" {
		return func(Call) bool { return true }, nil
	}
	method, rest, parted := strings.Cut(text, " ")
	if !parted {
		method, rest = "", text
	}
	if strings.HasPrefix(rest, "/") {
		pattern := parameter.ReplaceAllString(rest, "*")
		if _, err := path.Match(pattern, ""); err != nil {
			return nil, invalid("Operation", strconv.Quote(text), "a pattern of a path: "+err.Error())
		}
		if parted && !slices.Contains(methods, method) {
			return nil, invalid("Operation", strconv.Quote(text), "of a method among "+strings.Join(methods, ", "))
		}
		return func(c Call) bool {
			ok, err := path.Match(pattern, c.Path)
			return ok && err == nil && (method == "" || method == c.Method)
		}, nil
	}
	var names []string
	for _, op := range contract.Default().Operations() {
		names = append(names, op.ID)
	}
	slices.Sort(names)
	plain, isStream := strings.CutSuffix(text, "Stream")
	switch {
	case slices.Contains(names, text):
		return func(c Call) bool { return c.Operation == text }, nil
	case isStream && slices.Contains(streamed, plain):
		return func(c Call) bool { return c.Stream && c.Operation == plain }, nil
	}
	return nil, invalid("Operation", strconv.Quote(text),
		"the name of an operation ("+strings.Join(names, ", ")+`; with Stream behind it, its streamed calls alone) or a pattern such as "GET /v1/agents/*"`)
}
