// Package wire implements the parts of an API response: ids, times, JSON, server-sent
// events and errors. It also counts tokens.
package wire

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"sync/atomic"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// The prefixes of ids in the real API.
const (
	ConversationID   = "conv_"
	MessageID        = "msg_"
	FunctionCallID   = "fc_"
	FunctionResultID = "fr_"
	ToolExecutionID  = "tool_exec_"
	HandoffID        = "handoff_"
	AgentID          = "ag_"
	FileID           = "file_"
)

// NewToolCallID returns a new tool_call_id. Like those of the real API, it consists of nine
// letters and digits.
func NewToolCallID() string {
	const length, digits = 9, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	b := make([]byte, length)
	_, _ = rand.Read(b) // Read never fails.
	for i := range b {
		b[i] = digits[int(b[i])%len(digits)]
	}
	return string(b)
}

// OwnerID is the owner of all agents. The emulator has one account.
const OwnerID = "00000000-0000-4000-8000-000000000001"

// NewID returns a new unique id: a prefix and 32 hexadecimal digits. The first 16 digits
// encode the time, so that ids sort by age.
func NewID(prefix string) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], tick())
	_, _ = rand.Read(b[8:]) // Read never fails.
	return prefix + hex.EncodeToString(b[:])
}

var lastTick atomic.Uint64

// tick returns the time in milliseconds, times 2^16. It returns the last tick plus 1 if that
// is larger.
func tick() uint64 {
	now := uint64(time.Now().UnixMilli()) << 16
	for {
		last := lastTick.Load()
		next := max(now, last+1)
		if lastTick.CompareAndSwap(last, next) {
			return next
		}
	}
}

// Now returns the time in the precision of the real API: microseconds, in UTC.
func Now() generated.Timestamp {
	return generated.Timestamp{Time: time.Now().UTC().Truncate(time.Microsecond)}
}

// Sleep waits for d. If the context ends first, it returns the context's error.
func Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
