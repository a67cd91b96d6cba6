package state

import (
	"iter"
	"reflect"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// Page is one page of a list, from 0.
type Page struct{ Number, Size int }

// maxList is the number of items that a list has at most.
const maxList = max(MaxConversations, MaxAgents, MaxVersions)

// NewPage returns the page that is asked for, nil being the default. The document bounds
// neither number; larger ones than a list can have mean the same as that.
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

func below(name string, value int, least string) *wire.Failure {
	return wire.Refuse(wire.FieldError{
		Type: "greater_than_equal", Loc: []any{"query", name}, Msg: "Input should be greater than or equal to " + least, Input: value,
	})
}

// paged returns one page of the items that pass. It looks no further than the page's end,
// so that the first pages of a long list cost as much as those of a short one.
func paged[T any](list iter.Seq[T], page Page, passes func(T) bool) []T {
	items, skip := []T{}, page.Number*page.Size
	for item := range list {
		switch {
		case !passes(item):
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

// contains reports whether metadata has all members of a filter.
func contains(metadata generated.JSON, filter map[string]any) bool {
	var members map[string]any
	if generated.DecodeJSON(metadata, &members) != nil {
		members = nil // It is not an object.
	}
	for name, want := range filter {
		have, ok := members[name]
		if !ok || !reflect.DeepEqual(have, want) {
			return false
		}
	}
	return true
}
