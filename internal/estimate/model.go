// Package estimate guesses what a call will use before it is made, and learns
// from what calls did use.
//
// A guess has two parts. The text of a prompt is counted, with a vocabulary that is not the
// model's own: the ratio of real to counted tokens is learned, as a mean over the
// latest calls weighted by their size, up to 1000 tokens. Images, documents and other parts
// that cannot be counted have a price for each kind, which is learned too, from prompts that
// have such parts; those do not teach the ratio. The reply is not known
// at all: the guess is the upper quartile of the model's latest replies, or the
// caller's max_tokens if that is less.
//
// Until three replies were seen, a reply is taken to have 4,096 tokens, so that the first calls do
// not use several minutes of a small limit before the first of them has ended. Callers
// who set max_tokens set it well above what most replies need: an eighth of it counts, and 500 tokens
// at least. By simulation, max_tokens as a whole would cost half a minute of the quota at the
// beginning if replies take that long, without fewer refusals.
//
// Why not max_tokens itself: replies seldom come near it, and what is reserved
// for them beyond their length is unused while they run. Why not the mean: a few
// long replies make most of the tokens. By simulation of this API's limits (see
// the directory simulation) anything from the median to the 0.9 quantile does,
// lower ones with a little more throughput, higher ones with fewer refusals by
// servers that charge a call as it arrives.
//
// How long calls take is learned as well: a quantile, and the fastest of the latest 64 or more.
//
// Everything learned is bounded: 64 replies, one ratio between a quarter and four, a
// price below 2^20 for each kind, and four figures of durations, for each of at most 1000 models.
package estimate

import (
	"math"
	"slices"
	"sync"
)

const (
	// What a reply is taken to have until enough were seen: openReply, or a share of max_tokens and
	// usualReply at least. It is at most a share of the token limit, because otherwise the first
	// calls would wait for each other.
	openReply  = 4096
	usualReply = 500
	boundShare = 1.0 / 8
	limitShare = 1.0 / 4

	enough   = 3
	replies  = 64 // that are remembered
	quantile = 0.75

	weight     = 1.0 / 16 // of the latest call in the ratio
	mostWeight = 1000.0   // tokens that a prompt counts as at most, so that a large one does not decide alone
	mostOff    = 4.0      // bounds the ratio, either way
	priceStep  = 1.0 / 4  // weight of the latest call in a price
	maxPrice   = 1 << 20  // tokens of one part

	priorWeight = 200.0 // tokens that are taken to have been counted rightly before the first
)

// A Kind is a kind of parts of a prompt whose tokens cannot be counted.
type Kind int

// The kinds.
const (
	Image    Kind = iota
	LowImage      // an image of which little is looked at
	Document
	Audio
	Other
	kinds
)

// Parts is how many parts of each kind a prompt has.
type Parts [kinds]int

// FirstPrice returns how many tokens a part is taken to have before any was seen: a rough
// middle value.
func FirstPrice(k Kind) int {
	if k == LowImage {
		return 256
	}
	return 1024
}

// A Model is what is known of one model. The zero value knows nothing. It is
// safe for concurrent use.
type Model struct {
	mu              sync.Mutex
	actual, counted float64        // tokens of prompts: sums that decay; 0 before the first
	prices          [kinds]float64 // tokens of a part; 0: not known
	latest          []int          // lengths of replies, a ring once it is full
	next            int            // where the next one goes in latest
	sorted          []int          // the same, by length
	duration        duration       // how long calls take
}

// Prompt returns how many tokens a prompt of so many counted tokens of text, and of other
// parts, is expected to have.
func (m *Model) Prompt(counted int, parts Parts) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return int(float64(counted)*m.ratio() + m.price(parts) + 0.5)
}

// price returns what parts are expected to cost.
func (m *Model) price(parts Parts) float64 {
	total := 0.0
	for k, n := range parts {
		if n > 0 {
			total += float64(n) * m.priceOf(Kind(k))
		}
	}
	return total
}

func (m *Model) priceOf(k Kind) float64 {
	if m.prices[k] == 0 {
		return float64(FirstPrice(k))
	}
	return m.prices[k]
}

func (m *Model) ratio() float64 {
	if m.counted == 0 {
		return 1
	}
	return min(mostOff, max(1/mostOff, m.actual/m.counted))
}

// Unbounded is the bound of a reply whose call has no max_tokens.
const Unbounded = math.MaxInt

// Reply returns how many tokens a reply is expected to have, of which its call allows at most bound,
// with a limit of so many tokens for a call.
func (m *Model) Reply(bound, limit int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n, known := m.upperQuartile(); known {
		return min(n, bound)
	}
	unknown := min(openReply, max(usualReply, boundShare*float64(bound)), limitShare*float64(limit))
	return min(int(unknown), bound)
}

// MeanReply returns the mean of the latest replies, and how many they are: at most 64.
func (m *Model) MeanReply() (mean float64, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, reply := range m.latest {
		mean += float64(reply) / float64(len(m.latest))
	}
	return mean, len(m.latest)
}

// upperQuartile returns that of the latest replies, and whether enough were seen.
func (m *Model) upperQuartile() (n int, known bool) {
	if len(m.sorted) < enough {
		return 0, false
	}
	return m.sorted[int(quantile*float64(len(m.sorted)-1)+0.5)], true
}

// IsCut reports whether a reply has the length that its call allowed at most, and is shorter than
// replies usually are: it says nothing of how long replies are.
func (m *Model) IsCut(reply, bound int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	usual, known := m.upperQuartile()
	if !known {
		usual = usualReply
	}
	return reply >= bound && reply < usual
}

// learnPrices takes what the parts of a prompt cost together: each kind's price changes in
// the same proportion.
func (m *Model) learnPrices(parts Parts, actual float64) {
	factor := max(0, actual) / m.price(parts)
	for k, n := range parts {
		if n > 0 {
			price := m.priceOf(Kind(k))
			m.prices[k] = max(1, price+priceStep*(min(maxPrice, price*factor)-price))
		}
	}
}

// Learn takes what a call used: the actual tokens of a prompt, with the counted tokens of its
// text and its other parts, without what was known of it before; and the length of the
// reply. Figures that are 0 or less say nothing.
func (m *Model) Learn(counted int, parts Parts, actual, reply int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case actual <= 0:
	case parts != Parts{}:
		m.learnPrices(parts, float64(actual)-float64(counted)*m.ratio())
	case counted > 0:
		if m.counted == 0 {
			m.actual, m.counted = priorWeight, priorWeight
		}
		share := min(1, mostWeight/float64(counted))
		m.counted = m.counted*(1-weight) + share*float64(counted)
		m.actual = m.actual*(1-weight) + share*min(mostOff*float64(counted), float64(actual))
	}
	if reply <= 0 {
		return
	}
	if len(m.latest) < replies {
		m.latest = append(m.latest, reply)
	} else {
		oldest, _ := slices.BinarySearch(m.sorted, m.latest[m.next])
		m.sorted = slices.Delete(m.sorted, oldest, oldest+1)
		m.latest[m.next] = reply
		m.next = (m.next + 1) % replies
	}
	at, _ := slices.BinarySearch(m.sorted, reply)
	m.sorted = slices.Insert(m.sorted, at, reply)
}
