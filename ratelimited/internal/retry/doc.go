// Package retry decides what follows a failed attempt: whether there is another one,
// how long to wait before it, and which other calls wait too. It knows statuses,
// header fields and messages, but no calls, and does no I/O.
package retry
