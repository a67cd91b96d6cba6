package limiter

// ChargesOnArrival reports whether l takes the server to charge prompts on arrival.
func ChargesOnArrival(l *Limiter) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.budget.guard.arrival
}

// ChargeOnArrival has l take the server to charge prompts on arrival, until it learns otherwise.
func ChargeOnArrival(l *Limiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.budget.guard.change()
}
