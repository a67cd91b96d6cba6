package estimate

import "testing"

// Each kind has a price, which prompts with parts teach, and the ratio nothing of it.
func TestPrices(t *testing.T) {
	var m Model
	one := func(k Kind) (p Parts) { p[k] = 1; return p }
	for k := range kinds {
		if got := m.Prompt(10, one(k)); got != 10+FirstPrice(k) {
			t.Errorf("kind %d is %d at first", k, got)
		}
	}
	for range 30 {
		m.Learn(10, one(Document), 6010, 0)
	}
	if got := m.Prompt(10, one(Document)); got < 6000 || got > 6010 {
		t.Errorf("a document of 6,000 tokens has %d", got)
	}
	if got := m.Prompt(10_000, one(Image)); got != 11_024 {
		t.Errorf("text and images have %d, want what they had", got)
	}
	var both Parts
	both[Image], both[Document] = 2, 1
	for range 30 {
		m.Learn(0, both, 4024, 0) // half of 2,048 + 6,000
	}
	if image, document := m.Prompt(0, one(Image)), m.Prompt(0, one(Document)); image > 530 || image < 500 || document < 2950 || document > 3050 {
		t.Errorf("they have %d and %d, want half of what they had", image, document)
	}
}

// Whatever was learned, some calls suffice to learn better.
func TestPricesRecover(t *testing.T) {
	var m Model
	var p Parts
	p[Audio] = 1
	for range 1000 {
		m.Learn(0, p, 1<<40, 0)
	}
	if got := m.Prompt(0, p); got > maxPrice {
		t.Errorf("the price is %d", got)
	}
	for i := range 100 {
		m.Learn(0, p, 500, 0)
		if got := m.Prompt(0, p); got < 600 {
			if i > 40 {
				t.Errorf("it takes %d calls", i)
			}
			break
		}
	}
	for range 1000 {
		m.Learn(1000, p, 1, 0) // less than the text
	}
	for range 60 {
		m.Learn(0, p, 500, 0)
	}
	if got := m.Prompt(0, p); got < 450 || got > 550 {
		t.Errorf("the price is %d, want 500", got)
	}
}
