package state

import (
	"iter"
	"reflect"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// Page identifies a page of a list. Numbers start at 0.
type Page struct{ Number, Size int }

// maxList is the maximum number of items in a list.
const maxList = max(MaxConversations, MaxAgents, MaxVersions)

// NewPage returns the requested page. A nil number is 0, and a nil size is defaultSize. The
// document does not bound them; NewPage limits them to maxList.
func NewPage(number, size *int, defaultSize int) (Page, *wire.Failure) {
	p := Page{0, defaultSize}
	if number != nil {
		p.Number = *number
	}
	if size != nil {
		p.Size = *size
	}
	switch {
	case p.Number < 0:
		return Page{}, below("page", p.Number, "0")
	case p.Size < 1:
		return Page{}, below("page_size", p.Size, "1")
	}
	return Page{min(p.Number, maxList), min(p.Size, maxList)}, nil
}

func below(name string, value int, minimum string) *wire.Failure {
	return wire.Refuse(wire.FieldError{
		Type: "greater_than_equal", Loc: []any{"query", name}, Msg: "Input should be greater than or equal to " + minimum, Input: value,
	})
}

// paged returns one page of the items that match. It stops at the end of the page, so that
// the first pages of a long list cost as much as those of a short one.
func paged[T any](list iter.Seq[T], page Page, matches func(T) bool) []T {
	items, skip := []T{}, page.Number*page.Size
	for item := range list {
		switch {
		case !matches(item):
		case skip > 0:
			skip--
		default:
			items = append(items, item)
		}
		if len(items) == page.Size {
			break
		}
	}
	return items
}

// contains reports whether metadata contains all members of a filter.
func contains(metadata generated.JSON, filter map[string]any) bool {
	var members map[string]any
	if generated.DecodeJSON(metadata, &members) != nil {
		members = nil // The metadata is not an object.
	}
	for name, want := range filter {
		value, ok := members[name]
		if !ok || !reflect.DeepEqual(value, want) {
			return false
		}
	}
	return true
}
