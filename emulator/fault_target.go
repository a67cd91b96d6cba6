package emulator

import (
	"net/http"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/contract"
)

// target is the operations that a fault can strike. All of what is set must agree.
type target struct {
	operation string // as [exchange.name] has it
	streams   bool   // whether operation is also that of the streamed twin
	method    string
	pattern   string
}

var (
	streamed  = []string{"StartConversation", "AppendConversation", "RestartConversation"}
	methods   = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}
	parameter = regexp.MustCompile(`\{[^{}/]*\}`)
)

// parseTarget reads [Fault.Operation].
func parseTarget(text string) (target, error) {
	if text == "" {
		return target{}, nil
	}
	method, rest, parted := strings.Cut(text, " ")
	if !parted {
		method, rest = "", text
	}
	if strings.HasPrefix(rest, "/") {
		pattern := parameter.ReplaceAllString(rest, "*")
		if _, err := path.Match(pattern, ""); err != nil {
			return target{}, unfit("Operation", strconv.Quote(text), "a pattern: "+err.Error())
		}
		if parted && !slices.Contains(methods, method) {
			return target{}, unfit("Operation", strconv.Quote(text), "a method of "+strings.Join(methods, ", "))
		}
		return target{method: method, pattern: pattern}, nil
	}
	known := func(name string) bool {
		return slices.ContainsFunc(contract.Default().Operations(), func(op *contract.Operation) bool { return op.ID == name })
	}
	plain, isStream := strings.CutSuffix(text, "Stream")
	switch {
	case known(text):
		return target{operation: text, streams: true}, nil
	case isStream && slices.Contains(streamed, plain):
		return target{operation: text}, nil
	}
	var names []string
	for _, op := range contract.Default().Operations() {
		names = append(names, op.ID)
	}
	slices.Sort(names)
	return target{}, unfit("Operation", strconv.Quote(text),
		"the name of an operation ("+strings.Join(names, ", ")+`; with Stream behind it, its streamed calls alone) or a pattern as "GET /v1/agents/*"`)
}

func (t target) matches(x *exchange) bool {
	if t.operation != "" && t.operation != x.name() && (!t.streams || t.operation != x.operation.ID) {
		return false
	}
	if t.method != "" && t.method != x.method {
		return false
	}
	if t.pattern == "" {
		return true
	}
	ok, err := path.Match(t.pattern, x.escapedPath)
	return ok && err == nil
}
