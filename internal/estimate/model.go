// Package estimate predicts how many tokens and how much time a call will use, and learns from
// completed calls.
//
// An estimate has two parts, the prompt and the reply, which is the model's output. The text of a
// prompt is counted with a vocabulary that differs from the model's own. The package learns the ratio
// of actual to counted tokens: the mean of the latest calls, weighted by their size up to 1000 tokens.
// Images, documents and other parts that cannot be counted have a price for each kind. The package
// learns the prices from prompts with such parts; those prompts do not change the ratio. The estimate
// of a reply is the upper quartile of the model's latest replies, or the caller's max_tokens if that
// is less.
//
// Before three replies were seen, the estimate of a reply is 4096 tokens. The first calls therefore
// do not use several minutes of a small limit before the first of them has ended. Callers that set
// max_tokens set it far above the length of most replies. The estimate is then one eighth of
// max_tokens, at least 500 tokens. In simulations, using all of max_tokens would cost half a minute of
// the quota at the beginning if replies take that long, without fewer throttled requests.
//
// Why not max_tokens: replies seldom reach it, and the tokens reserved beyond their length stay unused
// while the calls run. Why not the mean: a few long replies make up most of the tokens. In
// simulations of this API's limits (see the directory simulation), any quantile from the median to 0.9
// works. Lower quantiles give slightly more throughput. Higher ones cause fewer throttled requests on
// servers that charge a call when it arrives.
//
// The package also learns the duration of calls: a quantile, and the fastest of at least the latest 64
// calls.
//
// Everything learned is bounded, for each of at most 1000 models: 64 replies, one ratio from 1/4 to 4,
// a price of at most 2^20 for each kind, and four numbers about durations.
package estimate

import (
	"math"
	"slices"
	"sync"
)

const (
	// The estimate of a reply before minReplies were seen is defaultReply. With max_tokens it is a share
	// of that, at least minBoundedReply. It is at most a share of the token limit, because otherwise
	// the first calls would wait for each other.
	defaultReply    = 4096
	minBoundedReply = 500
	maxTokensShare  = 1.0 / 8
	limitShare      = 1.0 / 4

	minReplies = 3
	maxReplies = 64 // the number of stored replies
	quantile   = 0.75

	weight    = 1.0 / 16 // the weight of the latest call in the ratio
	maxWeight = 1000.0   // the maximum weight of a prompt in tokens, so that one large prompt does not dominate
	maxRatio  = 4.0      // the ratio is at most maxRatio and at least 1/maxRatio
	priceStep = 1.0 / 4  // the weight of the latest call in a price
	maxPrice  = 1 << 20  // the maximum tokens of one part

	priorWeight = 200.0 // the weight of the initial ratio 1, in tokens
)

// Kind is a kind of prompt part whose tokens cannot be counted.
type Kind int

// The kinds.
const (
	Image    Kind = iota
	LowImage      // an image with low detail
	Document
	Audio
	Other
	kinds
)

// Parts is the number of parts of each kind in a prompt.
type Parts [kinds]int

// FirstPrice returns the initial price of a part in tokens, a typical value.
func FirstPrice(k Kind) int {
	if k == LowImage {
		return 256
	}
	return 1024
}

// Model holds the estimates for one model. The zero value is ready to use. It is safe for concurrent
// use.
type Model struct {
	mu              sync.Mutex
	actual, counted float64        // Decaying sums of prompt tokens; 0 before the first prompt.
	prices          [kinds]float64 // The tokens of a part; 0: unknown.
	latest          []int          // The lengths of the latest replies; a ring once full.
	next            int            // The index of the next reply in a full ring.
	sorted          []int          // The same lengths in ascending order.
	duration        duration
}

// Prompt returns the estimated tokens of a prompt from the counted tokens of its text and its other
// parts.
func (m *Model) Prompt(counted int, parts Parts) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return int(float64(counted)*m.ratio() + m.price(parts) + 0.5)
}

// price returns the estimated tokens of parts.
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
	return min(maxRatio, max(1/maxRatio, m.actual/m.counted))
}

// Unbounded is the bound of a reply if the call does not set max_tokens.
const Unbounded = math.MaxInt

// Reply returns the estimated tokens of a reply. The call allows at most bound tokens for the reply,
// and the limiter at most limit tokens for the call.
func (m *Model) Reply(bound, limit int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n, known := m.upperQuartile(); known {
		return min(n, bound)
	}
	initial := min(defaultReply, max(minBoundedReply, maxTokensShare*float64(bound)), limitShare*float64(limit))
	return min(int(initial), bound)
}

// MeanReply returns the mean length of the latest replies and their number, at most 64.
func (m *Model) MeanReply() (mean float64, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, reply := range m.latest {
		mean += float64(reply) / float64(len(m.latest))
	}
	return mean, len(m.latest)
}

// upperQuartile returns the upper quartile of the latest replies. It returns false before minReplies
// were seen.
func (m *Model) upperQuartile() (n int, known bool) {
	if len(m.sorted) < minReplies {
		return 0, false
	}
	return m.sorted[int(quantile*float64(len(m.sorted)-1)+0.5)], true
}

// IsCut reports whether max_tokens cut a reply that is shorter than typical replies. The length of
// such a reply is not representative.
func (m *Model) IsCut(reply, bound int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	typical, known := m.upperQuartile()
	if !known {
		typical = minBoundedReply
	}
	return reply >= bound && reply < typical
}

// learnPrices learns from the actual tokens of all parts of a prompt. It changes the price of each
// kind in the same proportion.
func (m *Model) learnPrices(parts Parts, actual float64) {
	factor := max(0, actual) / m.price(parts)
	for k, n := range parts {
		if n > 0 {
			price := m.priceOf(Kind(k))
			m.prices[k] = max(1, price+priceStep*(min(maxPrice, price*factor)-price))
		}
	}
}

// Learn learns from the usage of a completed call. The prompt had counted tokens of text and other
// parts, and actual tokens in all. These three exclude stored history, whose tokens are known. The
// last argument is the length of the reply. Learn ignores values of 0 or less.
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
		share := min(1, maxWeight/float64(counted))
		m.counted = m.counted*(1-weight) + share*float64(counted)
		m.actual = m.actual*(1-weight) + share*min(maxRatio*float64(counted), float64(actual))
	}
	if reply <= 0 {
		return
	}
	if len(m.latest) < maxReplies {
		m.latest = append(m.latest, reply)
	} else {
		oldest, _ := slices.BinarySearch(m.sorted, m.latest[m.next])
		m.sorted = slices.Delete(m.sorted, oldest, oldest+1)
		m.latest[m.next] = reply
		m.next = (m.next + 1) % maxReplies
	}
	at, _ := slices.BinarySearch(m.sorted, reply)
	m.sorted = slices.Insert(m.sorted, at, reply)
}
