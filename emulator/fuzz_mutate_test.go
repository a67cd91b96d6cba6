package emulator_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// message is a parsed request that can be mutated.
type message struct {
	method string
	path   []string // escaped segments
	query  [][2]string
	header http.Header
	body   any    // decoded JSON, or nil
	raw    string // the body if the field body is nil
}

// mutator mutates a message. The bytes of its program select each mutation and its place.
type mutator struct{ program []byte }

// next returns a number below n, or 0 at the end of the program.
func (m *mutator) next(n int) int {
	if len(m.program) == 0 || n <= 0 {
		return 0
	}
	b := int(m.program[0])
	m.program = m.program[1:]
	if n > 256 && len(m.program) > 0 {
		b = b<<8 | int(m.program[0])
		m.program = m.program[1:]
	}
	return b % n
}

func pick[T any](m *mutator, list []T) T { return list[m.next(len(list))] }

var (
	methods  = []string{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "get"}
	segments = []string{"", "..", "%2F", "%00", "CONV", "AGENT", "v1", "é", "a%20b", "%zz", strings.Repeat("x", 3000), "conversations", "aliases", "versions", "pages", "restart", "0", "-1", "99999999999999999999", "first"}
	texts    = []string{
		"", "null", "true", "0", "1", "-1", "1.5", "1e999", "99999999999999999999", "[]", "{}", `{"a":1}`, `{"a":`, "\x00", "é", "\xff", "<b>&", "a b", "first", "CONV", "AGENT", "ENTRY",
		"api", "Count to 3", "search the news", "weather", "What is 2+2?", "bomb me@example.com", strings.Repeat("x y ", 500), strings.Repeat("(a{1000})+", 20),
	}
	headers = [][2]string{
		{"Content-Type", ""}, {"Content-Type", "text/plain"}, {"Content-Type", "application/json; charset=utf-16"}, {"Content-Type", "application/x-www-form-urlencoded"},
		{"Authorization", ""}, {"Authorization", "Bearer"}, {"Authorization", "Basic eDp5"}, {"Authorization", "bearer  k"},
		{"Accept", "text/event-stream"}, {"Accept", "text/html"}, {"Origin", "https://evil.example"}, {"Origin", "null"}, {"Sec-Fetch-Site", "cross-site"},
		{"Content-Encoding", "gzip"}, {"Expect", "100-continue"}, {"X-Forwarded-Host", "evil.example"}, {"Host", "evil.example"}, {"Range", "bytes=0-1"}, {"If-None-Match", "*"},
	}
	names = []string{
		"", "type", "role", "content", "model", "agent_id", "inputs", "stream", "store", "tools", "function", "name", "parameters", "completion_args", "response_format", "json_schema", "schema",
		"stop", "max_tokens", "temperature", "tool_choice", "metadata", "guardrails", "handoffs", "handoff_execution", "instructions", "tool_confirmations", "tool_call_id", "result", "arguments",
		"from_entry_id", "agent_version", "version", "alias", "page", "page_size", "page_token", "sources", "id", "object", "é", "$ref", "pattern", "minLength", "enum", "allOf", "items", "properties", "required",
	}
)

// value returns a JSON value of any type.
func (m *mutator) value() any {
	switch m.next(12) {
	case 0:
		return nil
	case 1:
		return m.next(2) == 0
	case 2:
		return json.Number(pick(m, []string{"0", "1", "-1", "1.5", "1e3", "1e300", "1e999", "99999999999999999999", "-0.0"}))
	case 3:
		return []any{}
	case 4:
		return map[string]any{}
	case 5:
		return []any{m.text(), m.text()}
	case 6:
		return map[string]any{pick(m, names): m.text()}
	case 7: // deeply nested
		value := any(m.text())
		for range 1 + m.next(200) {
			value = []any{value}
		}
		return value
	case 8:
		value := any(map[string]any{})
		for range 1 + m.next(200) {
			value = map[string]any{pick(m, names): value}
		}
		return value
	case 9: // from another request
		other := requestsOf[pick(m, slices.Sorted(maps.Keys(requestsOf)))].body()
		all := nodes(other)
		return pick(m, all).value
	default:
		return m.text()
	}
}

func (m *mutator) text() string { return pick(m, texts) }

// node is a place in a JSON value.
type node struct {
	value any
	set   func(any) // replaces the value
	drop  func()    // removes the value
}

// nodes returns all places in a value. The first is the value itself, whose set and drop do
// nothing.
func nodes(value any) []node {
	list := []node{{value: value, set: func(any) {}, drop: func() {}}}
	switch v := value.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			below := nodes(v[name])
			below[0].set, below[0].drop = func(value any) { v[name] = value }, func() { delete(v, name) }
			list = append(list, below...)
		}
	case []any:
		for i := range v {
			below := nodes(v[i])
			below[0].set, below[0].drop = func(value any) { v[i] = value }, func() { v[i] = nil }
			list = append(list, below...)
		}
	}
	return list
}

// step applies one mutation to a message.
func (m *mutator) step(r *message) {
	switch m.next(12) {
	case 0:
		r.method = pick(m, methods)
	case 1:
		r.path[m.next(len(r.path))] = pick(m, segments)
	case 2:
		at := m.next(len(r.path) + 1)
		r.path = slices.Insert(r.path, at, pick(m, segments))
	case 3:
		if len(r.path) > 1 {
			at := m.next(len(r.path))
			r.path = slices.Delete(r.path, at, at+1)
		}
	case 4:
		r.query = append(r.query, [2]string{pick(m, names), m.text()})
	case 5:
		if len(r.query) > 0 {
			at := m.next(len(r.query))
			if m.next(2) == 0 {
				r.query = slices.Delete(r.query, at, at+1)
			} else {
				r.query[at][1] = m.text()
			}
		}
	case 6:
		h := pick(m, headers)
		r.header.Set(h[0], h[1])
	case 7:
		r.raw = pick(m, []string{"", "null", "[]", "{", "{}x", `"`, "\xff", `{"model":"m","model":"n","inputs":"x"}`, "\ufeff{}", " "})
		r.body = nil
	default:
		r.body = m.mutate(r.body)
	}
}

// mutate applies one mutation to a JSON value.
func (m *mutator) mutate(body any) any {
	root := map[string]any{"": body}
	all := nodes(root)[1:]
	if len(all) > 5_000 {
		return body // Further steps could multiply the size without limit.
	}
	at := pick(m, all)
	switch m.next(8) {
	case 0:
		at.drop()
	case 1:
		at.set(m.value())
	case 2: // swap
		other := pick(m, all)
		value := clone(at.value)
		at.set(clone(other.value))
		other.set(value)
	case 3: // repeat
		list := make([]any, 1+m.next(40))
		for i := range list {
			list[i] = clone(at.value)
		}
		at.set(list)
	case 4: // nest
		at.set(map[string]any{pick(m, names): at.value})
	case 5: // resize
		switch v := at.value.(type) {
		case string:
			at.set(strings.Repeat(v[:min(len(v), 1<<14)], m.next(64)))
		case []any:
			at.set(slices.Repeat(v, m.next(64)))
		case map[string]any:
			for i := range m.next(64) {
				v[strconv.Itoa(i)] = m.text()
			}
		default:
			at.set([]any{v, v})
		}
	case 6: // one more member or element
		switch v := at.value.(type) {
		case map[string]any:
			v[pick(m, names)] = m.value()
		case []any:
			at.set(append(v, m.value()))
		default:
			at.set(m.text())
		}
	case 7: // another name
		if v, ok := at.value.(map[string]any); ok && len(v) > 0 {
			name := pick(m, slices.Sorted(maps.Keys(v)))
			v[pick(m, names)] = v[name]
			delete(v, name)
		}
	}
	return root[""]
}

// clone returns a deep copy, so that a mutation cannot make a value contain itself.
func clone(value any) any {
	switch v := value.(type) {
	case map[string]any:
		c := make(map[string]any, len(v))
		for name, member := range v {
			c[name] = clone(member)
		}
		return c
	case []any:
		c := make([]any, len(v))
		for i, element := range v {
			c[i] = clone(element)
		}
		return c
	}
	return value
}
