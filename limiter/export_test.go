package limiter

// ChargesOnArrival reports whether l assumes that the server charges prompts on arrival.
func ChargesOnArrival(l *Limiter) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.budget.guard.onArrival
}

// ChargeOnArrival makes l assume that the server charges prompts on arrival, until it learns otherwise.
func ChargeOnArrival(l *Limiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.budget.guard.switchCharging()
}

// NewNested returns a nested limiter whose two limiters have the same token limit.
func NewNested(limit Limit) (Backend, error) {
	shared, err := InProcess()("", limit)
	if err != nil {
		return nil, err
	}
	tokens, err := InProcess()("", Limit{RequestsPerSecond: MaxRequests, TokensPerMinute: limit.TokensPerMinute, TokenBurst: limit.TokenBurst})
	return &nested{shared: shared, tokens: tokens}, err
}
