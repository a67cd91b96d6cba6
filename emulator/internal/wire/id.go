// Package wire holds what an API response consists of: ids, times, JSON, server-sent
// events, error responses, and the text rules by which the emulator counts tokens.
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

// The prefixes of ids, as the service writes them.
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

// NewToolCallID returns a new tool_call_id: nine letters and digits, as the service has
// them.
func NewToolCallID() string {
	const length, digits = 9, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	b := make([]byte, length)
	_, _ = rand.Read(b) // It never fails: see crypto/rand.
	for i := range b {
		b[i] = digits[int(b[i])%len(digits)]
	}
	return string(b)
}

// OwnerID is the owner of all agents. The emulator has one account.
const OwnerID = "00000000-0000-4000-8000-000000000001"

// NewID returns a new unique id: a prefix and 32 hexadecimal digits. The first half of the
// digits is the time, so that ids sort by age.
func NewID(prefix string) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], tick())
	_, _ = rand.Read(b[8:]) // It never fails: see crypto/rand.
	return prefix + hex.EncodeToString(b[:])
}

var lastTick atomic.Uint64

// tick returns the time in milliseconds, times 2^16, or the last tick plus one.
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

// Now returns the time as the service writes it: UTC, in microseconds.
func Now() generated.Timestamp {
	return generated.Timestamp{Time: time.Now().UTC().Truncate(time.Microsecond)}
}

// Sleep waits for d, or until the context ends, whose error it returns then.
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
