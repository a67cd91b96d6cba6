package ratelimited

import "bytes"

// A secret is the account's key where printing what holds it does not show it:
// functions are printed as addresses.
type secret struct {
	authorization func() string       // value of the header field
	redact        func([]byte) []byte // removes the key from what a server sent back
}

func newSecret(key string) secret {
	value := "Bearer " + key
	return secret{
		authorization: func() string { return value },
		redact:        func(text []byte) []byte { return bytes.ReplaceAll(text, []byte(key), []byte(redacted)) },
	}
}
