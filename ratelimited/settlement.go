package ratelimited

import (
	"net/http"
	"slices"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited/internal/retry"
)

// settle ends the permit with what the reply says was used, and learns from it.
func (f *flight) settle(conversationID string, usage generated.ConversationUsageInfo) {
	if f.ended.CompareAndSwap(false, true) {
		f.learnDuration()
		f.conclude(f.learn(conversationID, usage))
	}
}

// isReadable reports whether a usage is complete enough to settle: it has a total, or none
// of its figures was skipped.
func isReadable(usage generated.ConversationUsageInfo, mismatches []generated.Mismatch) bool {
	const field = "/usage"
	isFigure := func(m generated.Mismatch) bool {
		name, isUsage := strings.CutPrefix(m.Pointer, field)
		return isUsage && (name == "" || name == "/prompt_tokens" || name == "/completion_tokens" || name == "/total_tokens")
	}
	const reported = 100 // of more mismatches, those of the usage may not be reported
	return usage.TotalTokens > 0 || len(mismatches) < reported && !slices.ContainsFunc(mismatches, isFigure)
}

// settleReceived ends the permit of a stream that did not say what it used: the
// prompt was read, and so much of the reply came.
func (f *flight) settleReceived(conversationID string, texts []string) {
	if !f.ended.CompareAndSwap(false, true) {
		return
	}
	used := f.guess.prompt + f.countReceived(texts)
	if f.guess.given { // by the caller, who did not say how much of it is the prompt
		used = max(used, f.guess.total)
	}
	f.remember(conversationID, used)
	f.conclude(used)
}

// maxCounted is how many bytes of a stream that was left are counted, in the caller's
// goroutine; the rest is estimated.
const maxCounted = 64 << 10

// countReceived returns the number of tokens of texts: as counted of the first bytes, and in
// proportion to that of the others.
func (f *flight) countReceived(texts []string) int {
	tokens, counted, total := 0, 0, 0
	for _, text := range texts {
		total += len(text)
		text = text[:min(len(text), maxCounted-counted)]
		tokens += f.client.counter.Text(text)
		counted += len(text)
	}
	if counted == total {
		return tokens
	}
	return int(float64(tokens) / float64(counted) * float64(total))
}

// land ends whatever of the flight has not ended yet. used is what the call
// counts as if it was not settled. A call of which the server saw nothing gives
// everything back.
func (f *flight) land(used int) {
	if f.latest != nil {
		defer f.latest.end() // last: it may panic
	}
	switch {
	case f.permit == nil || !f.ended.CompareAndSwap(false, true):
	case f.reached:
		f.conclude(used)
	default:
		f.giveBack()
	}
}

// giveBack returns the permit, with all that was not used, until the call acquires
// another one.
func (f *flight) giveBack() {
	if f.permit == nil {
		return
	}
	if f.ended.Store(true); f.reached {
		f.permit.Settle(f.lost)
	} else {
		f.permit.Cancel()
	}
	f.client.state.touch()
	if f.watched() {
		f.tell(Settled{Estimated: f.permit.Tokens(), UnconfirmedTokens: f.lost, Cancelled: !f.reached})
	}
	f.permit, f.reached, f.lost = nil, false, 0
}

// conclude settles what the call used, and what attempts without a reply may have
// used. Then comes what the server says, which counts this call. What streams and
// failures brought of that was taken when it came: it is old by now.
func (f *flight) conclude(used int) {
	defer f.client.state.touch() // with what the server says
	f.permit.Settle(f.lost + used)
	if f.watched() {
		f.tell(Settled{Estimated: f.guess.total, Used: used, UnconfirmedTokens: f.lost})
	}
	if f.latest.good {
		f.observe(f.latest.resp.Header)
	}
}

// observe tells the limiters what the server says of the account's limits. What it says of tokens
// is about the model, which the reply may have named. Bare buckets learn no limit.
func (f *flight) observe(header http.Header) {
	state, found := retry.ServerState(header)
	switch {
	case !found:
	case f.client.config.BareBuckets:
		f.limiter.Observe(state)
	default:
		model := f.model
		if model == "" && f.op.prompt != nil {
			model, _, _, _ = f.resolve()
		}
		f.client.limits.Observe(model, state)
	}
}
