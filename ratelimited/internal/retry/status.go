package retry

import "net/http"

// IsTransient reports whether a response of that status code may be followed by a
// success of the same request. The codes from 520 on are Cloudflare's, behind which
// the API stands, except 529, which means overloaded.
func IsTransient(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests, http.StatusInternalServerError:
		return true
	}
	return IsOutage(status)
}

// IsUnconfirmed reports whether a response of that status code comes from a gateway that had no
// response of the server behind it, which may have carried out the request.
func IsUnconfirmed(status int) bool {
	switch status {
	case http.StatusBadGateway, http.StatusGatewayTimeout, 520, 524:
		return true
	}
	return false
}

// IsOutage reports whether a response of that status code says that the server
// cannot be reached or cannot work, rather than that one request failed. It comes
// from a gateway in front of the server, or from a server that is overloaded.
func IsOutage(status int) bool {
	switch status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout, 529, 530:
		return true
	}
	return status >= 520 && status <= 527
}
