package retry

import "net/http"

// IsTransient reports whether the same request may succeed after a response with this status code. The codes from
// 520 on are Cloudflare's, which the API uses, except 529, which means overloaded.
func IsTransient(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests, http.StatusInternalServerError:
		return true
	}
	return IsOutage(status)
}

// IsUnconfirmed reports whether the status code comes from a gateway that did not get a response from the server. The
// server may have carried out the request.
func IsUnconfirmed(status int) bool {
	switch status {
	case http.StatusBadGateway, http.StatusGatewayTimeout, 520, 524:
		return true
	}
	return false
}

// IsOutage reports whether the status code means that the server cannot be reached or cannot work, and not that one
// request failed. It comes from a gateway in front of the server, or from an overloaded server.
func IsOutage(status int) bool {
	switch status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout, 529, 530:
		return true
	}
	return status >= 520 && status <= 527
}
