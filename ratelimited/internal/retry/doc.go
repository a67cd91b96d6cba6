// Package retry decides what follows a failed attempt: whether the call is retried,
// how long it waits before that, and which other calls wait too. It uses status codes,
// header fields and messages, and does no I/O.
package retry
