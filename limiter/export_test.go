package limiter

// ChargesOnArrival reports whether l takes the server to charge prompts on arrival.
func ChargesOnArrival(l *Limiter) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.budget.guard.onArrival
}

// ChargeOnArrival has l take the server to charge prompts on arrival, until it learns otherwise.
func ChargeOnArrival(l *Limiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.budget.guard.switchCharging()
}

// NewNested returns a limiter of two, of which either one has the given tokens.
func NewNested(limit Limit) (Backend, error) {
	shared, err := InProcess()("", limit)
	if err != nil {
		return nil, err
	}
	tokens, err := InProcess()("", Limit{RequestsPerSecond: MaxRequests, TokensPerMinute: limit.TokensPerMinute, TokenBurst: limit.TokenBurst})
	return &nested{shared: shared, tokens: tokens}, err
}
