package state

import (
	"math"
	"slices"
	"testing"
)

// TestPagesCoverTheList checks that the pages of any size together contain the matching items,
// and that paged stops at the end of a page.
func TestPagesCoverTheList(t *testing.T) {
	t.Parallel()
	numbers := []int{9, 8, 7, 6, 5, 4, 3, 2, 1, 0}
	for divisor := 1; divisor <= 11; divisor++ {
		matches := func(n int) bool { return n%divisor == 0 }
		want := slices.DeleteFunc(slices.Clone(numbers), func(n int) bool { return !matches(n) })
		for size := 1; size <= 11; size++ {
			var got []int
			for number := 0; number <= len(want)/size; number++ {
				last := numbers[len(numbers)-1]
				items := paged(slices.Values(numbers), Page{number, size}, func(n int) bool { last = n; return matches(n) })
				if len(items) == size && last != items[size-1] {
					t.Errorf("page %d of size %d ends with %d, but paged read up to %d", number, size, items[size-1], last)
				}
				got = append(got, items...)
			}
			if !slices.Equal(got, want) {
				t.Errorf("pages of size %d contain %v, want %v", size, got, want)
			}
			if beyond := paged(slices.Values(numbers), Page{11, size}, matches); beyond == nil || len(beyond) > 0 {
				t.Errorf("a page beyond the end is %v, want an empty page", beyond)
			}
		}
	}
}

func TestPagingIsBounded(t *testing.T) {
	t.Parallel()
	large := math.MaxInt
	page, refused := NewPage(&large, &large, 20)
	if page != (Page{maxList, maxList}) || refused != nil {
		t.Errorf("page is %+v, %v", page, refused)
	}
}
