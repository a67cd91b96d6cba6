package retry

import (
	"net/http"
	"testing"
	"time"
)

func headers(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

func TestReadThrottle(t *testing.T) {
	const tooLarge = "this call alone is larger than the account's limit of tokens a minute"
	limit := func(limit, remaining string) http.Header {
		return headers("x-ratelimit-limit-tokens-minute", limit, "x-ratelimit-remaining-tokens-minute", remaining)
	}
	for name, test := range map[string]struct {
		response Response
		want     Throttle
	}{
		"tokens":                           {Response{Message: "Token rate limit reached."}, Throttle{LimitType: "tokens", Shared: OneLimit}},
		"requests":                         {Response{Message: "Requests rate limit exceeded"}, Throttle{LimitType: "requests", Shared: OneLimit}},
		"monthly tokens":                   {Response{Message: "Monthly token rate limit reached."}, Throttle{LimitType: "tokens", Shared: OneLimit}},
		"no limit":                         {Response{Message: "Rate limit exceeded", Type: "rate_limited", Code: "1300"}, Throttle{Shared: OneLimit}},
		"no message":                       {Response{}, Throttle{Shared: OneLimit}},
		"a gateway":                        {Response{Message: "API rate limit exceeded"}, Throttle{Shared: OneLimit}},
		"a sentence":                       {Response{Message: "Your rate limit has been reached"}, Throttle{Shared: OneLimit}},
		"a tool":                           {Response{Message: "web_search rate limit reached."}, Throttle{LimitType: "web_search"}},
		"an unknown tool":                  {Response{Message: "mcp_connector rate limit reached."}, Throttle{LimitType: "mcp_connector"}},
		"an unknown tool after an article": {Response{Message: "The canvas rate limit reached."}, Throttle{LimitType: "canvas"}},
		"no requests left":                 {Response{Message: "Rate limit exceeded", Header: headers("x-ratelimit-remaining-req-minute", "0")}, Throttle{LimitType: "requests", Shared: OneLimit}},
		"no tokens left":                   {Response{Message: "Rate limit exceeded", Header: limit("2000", "0")}, Throttle{LimitType: "tokens", Shared: OneLimit}},
		"the message decides":              {Response{Message: "Token rate limit reached.", Header: headers("x-ratelimit-remaining-req-minute", "0")}, Throttle{LimitType: "tokens", Shared: OneLimit}},
		"overload, by message":             {Response{Message: "Service tier capacity exceeded for this model.", Type: "invalid_request_error"}, Throttle{Shared: OneModel}},
		"overload, by code":                {Response{Message: "Later.", Code: "3505"}, Throttle{Shared: OneModel}},
		"overload, by type":                {Response{Message: "Later.", Type: "service_tier_capacity_exceeded"}, Throttle{Shared: OneModel}},
		"not in the plan":                  {Response{Message: "Service tier capacity exceeded for this model.", Header: limit("0", "0")}, Throttle{LimitType: "tokens", Reason: "the account's limit is 0: its plan does not have this model"}},
		"larger than the limit, with a generic message": {
			Response{Message: "Rate limit exceeded", Code: "1300", Header: limit("2000", "2000"), Prompt: 100, Estimate: 5000}, Throttle{Reason: tooLarge},
		},
		"a prompt larger than the limit": {
			Response{Message: "Rate limit exceeded", Header: limit("2000", "1500"), Prompt: 2001, Estimate: 2500}, Throttle{Reason: tooLarge},
		},
		"a response that may be shorter": {
			Response{Message: "Rate limit exceeded", Header: limit("2000", "1500"), Prompt: 100, Estimate: 2500}, Throttle{Shared: OneLimit},
		},
		"smaller than the limit": {
			Response{Message: "Rate limit exceeded", Header: limit("2000", "2000"), Prompt: 100, Estimate: 2000}, Throttle{Shared: OneLimit},
		},
		"tokens, with an unused limit": {
			Response{Message: "Token rate limit reached.", Header: limit("2000", "2000"), Prompt: 10, Estimate: 20}, Throttle{LimitType: "tokens", Reason: tooLarge},
		},
		"too many requests, and a large call": {
			Response{Message: "Requests rate limit exceeded", Header: limit("2000", "2000"), Prompt: 5000, Estimate: 5000}, Throttle{LimitType: "requests", Shared: OneLimit},
		},
		"a tool's daily limit": {
			Response{Message: "web_search rate limit reached.", Header: headers("x-ratelimit-remaining-web-search-day", "0")},
			Throttle{LimitType: "web_search", Reason: "the day's limit is used up"},
		},
		"a wait": {Response{Header: headers("Retry-After", "7")}, Throttle{RetryAfter: 7 * time.Second, Shared: OneLimit}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := ReadThrottle(test.response, time.Now()); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestDecide(t *testing.T) {
	policy := Policy{BaseDelay: time.Second, MaxDelay: time.Second} // the backoff is 1 s
	throttle := func(shared Scope, after time.Duration) *Throttle { return &Throttle{Shared: shared, RetryAfter: after} }
	for name, test := range map[string]struct {
		failure Failure
		want    Decision
	}{
		"final":                      {Failure{}, Decision{Wait: time.Second, Stop: true}},
		"transient":                  {Failure{Transient: true}, Decision{Wait: time.Second}},
		"requested wait":             {Failure{Transient: true, RetryAfter: time.Second}, Decision{Wait: time.Second}},
		"requested wait is too long": {Failure{Transient: true, RetryAfter: 2 * time.Second}, Decision{Wait: time.Second, Stop: true}},
		"a tool's limit":             {Failure{Transient: true, Throttle: throttle(OneCall, 0)}, Decision{Wait: time.Second}},
		"an overloaded model":        {Failure{Transient: true, Throttle: throttle(OneModel, 0)}, Decision{Wait: time.Second, Shared: OneModel}},
		"a limit":                    {Failure{Transient: true, Throttle: throttle(OneLimit, 0)}, Decision{Shared: OneLimit}},
		"a limit, and a wait":        {Failure{Transient: true, Throttle: throttle(OneLimit, Window)}, Decision{Wait: Window, Shared: OneLimit}},
		"a limit, and a longer wait": {Failure{Transient: true, Throttle: throttle(OneLimit, Window+1)}, Decision{Wait: Window, Shared: OneLimit, Stop: true}},
		"a limit that is 0":          {Failure{Throttle: &Throttle{Reason: "0"}}, Decision{Stop: true}},
	} {
		t.Run(name, func(t *testing.T) {
			test.failure.Number = 1
			if got := policy.Decide(test.failure); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestStatusCodes(t *testing.T) {
	outage := map[int]bool{502: true, 503: true, 504: true, 520: true, 521: true, 522: true, 523: true, 524: true, 525: true, 526: true, 527: true, 529: true, 530: true}
	transient := map[int]bool{408: true, 425: true, 429: true, 500: true}
	for status := 100; status < 700; status++ {
		if got := IsOutage(status); got != outage[status] {
			t.Errorf("IsOutage(%d) = %v", status, got)
		}
		if got := IsTransient(status); got != (outage[status] || transient[status]) {
			t.Errorf("IsTransient(%d) = %v", status, got)
		}
	}
}
