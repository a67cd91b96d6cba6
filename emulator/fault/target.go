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

// Call identifies a request of an operation.
type Call struct {
	Operation    string // the operationId
	Stream       bool   // whether the call is streamed
	Model        string // the model that the call runs, or ""
	Method, Path string // the path in escaped form
}

var (
	streamed  = []string{"StartConversation", "AppendConversation", "RestartConversation"}
	methods   = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}
	parameter = regexp.MustCompile(`\{[^{}/]*\}`)
)

// Matcher returns a function that reports whether the fault applies to a call. It returns
// an error for an unknown Operation.
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
	method, rest, hasMethod := strings.Cut(text, " ")
	if !hasMethod {
		method, rest = "", text
	}
	if strings.HasPrefix(rest, "/") {
		pattern := parameter.ReplaceAllString(rest, "*")
		if _, err := path.Match(pattern, ""); err != nil {
			return nil, invalid("Operation", strconv.Quote(text), "a path pattern ("+err.Error()+")")
		}
		if hasMethod && !slices.Contains(methods, method) {
			return nil, invalid("Operation", strconv.Quote(text), "a path with a method among "+strings.Join(methods, ", "))
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
		"the name of an operation ("+strings.Join(names, ", ")+`, with the suffix Stream for only its streamed calls) or a pattern such as "GET /v1/agents/*"`)
}
