package estimate

import "testing"

// Prompts with parts change the prices of the kinds, and not the ratio.
func TestPrices(t *testing.T) {
	var m Model
	one := func(k Kind) (p Parts) { p[k] = 1; return p }
	for k := range kinds {
		if got := m.Prompt(10, one(k)); got != 10+FirstPrice(k) {
			t.Errorf("the initial estimate for kind %d is %d, want %d", k, got, 10+FirstPrice(k))
		}
	}
	for range 30 {
		m.Learn(10, one(Document), 6010, 0)
	}
	if got := m.Prompt(10, one(Document)); got < 6000 || got > 6010 {
		t.Errorf("the estimate for a document of 6000 tokens is %d, want 6000–6010", got)
	}
	if got := m.Prompt(10_000, one(Image)); got != 11_024 {
		t.Errorf("the estimate for text and an image is %d, want 11024 as before", got)
	}
	var both Parts
	both[Image], both[Document] = 2, 1
	for range 30 {
		m.Learn(0, both, 4024, 0) // half of 2048 + 6000
	}
	if image, document := m.Prompt(0, one(Image)), m.Prompt(0, one(Document)); image > 530 || image < 500 || document < 2950 || document > 3050 {
		t.Errorf("the estimates for an image and a document are %d and %d, want half as before", image, document)
	}
}

// Prices recover within some calls after extreme values.
func TestPricesRecover(t *testing.T) {
	var m Model
	var p Parts
	p[Audio] = 1
	for range 1000 {
		m.Learn(0, p, 1<<40, 0)
	}
	if got := m.Prompt(0, p); got > maxPrice {
		t.Errorf("the price is %d, want at most %d", got, maxPrice)
	}
	for i := range 100 {
		m.Learn(0, p, 500, 0)
		if got := m.Prompt(0, p); got < 600 {
			if i > 40 {
				t.Errorf("the price recovers after %d calls, want at most 40", i)
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
