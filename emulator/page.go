package emulator

import (
	"iter"
	"reflect"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// longest is the most that a list can have.
const longest = max(MaxConversations, MaxAgents, MaxVersions)

// paging returns the page that is asked for, which the document does not bound. As no
// list is longer than longest, a page of more is one of that many, and pages from that
// number on are all empty.
func paging(number, size *int, usual int) (int, int, *failure) {
	n, s := 0, usual
	if number != nil {
		n = *number
	}
	if size != nil {
		s = *size
	}
	switch {
	case n < 0:
		return 0, 0, refuse(fieldError{
			Type: "greater_than_equal", Loc: []any{"query", "page"}, Msg: "Input should be greater than or equal to 0", Input: n,
		})
	case s < 1:
		return 0, 0, refuse(fieldError{
			Type: "greater_than_equal", Loc: []any{"query", "page_size"}, Msg: "Input should be greater than or equal to 1", Input: s,
		})
	}
	return min(n, longest), min(s, longest), nil
}

// page returns one page of what of a list passes. It looks no further than the page's
// end, so that the first pages of a long list cost what those of a short one do.
func page[T any](list iter.Seq[T], number, size int, passes func(T) bool) []T {
	items, skip := []T{}, number*size
	for item := range list {
		switch {
		case !passes(item):
		case skip > 0:
			skip--
		default:
			items = append(items, item)
		}
		if len(items) == size {
			break
		}
	}
	return items
}

// object decodes a free-form value; the result is empty if it is not an object.
func object(value generated.JSON) map[string]any {
	var members map[string]any
	if generated.DecodeJSON(value, &members) != nil {
		return nil
	}
	return members
}

// carries reports whether metadata has all that a filter asks for.
func carries(metadata, filter map[string]any) bool {
	for name, want := range filter {
		have, ok := metadata[name]
		if !ok || !reflect.DeepEqual(have, want) {
			return false
		}
	}
	return true
}
