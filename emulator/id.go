package emulator

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"sync/atomic"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// The kinds of id, as the service writes them.
const (
	conversationID  = "conv_"
	messageID       = "msg_"
	functionID      = "fc_"
	resultID        = "fr_"
	toolExecutionID = "tool_exec_"
	handoffID       = "handoff_"
	agentID         = "ag_"
	toolCallID      = "call_"
	fileID          = "file_"
)

// ownerID is the owner of all agents: the emulator has one account.
const ownerID = "00000000-0000-4000-8000-000000000001"

// newID returns an id that none had before: a prefix and 32 hexadecimal digits, of
// which the first half tells the time, so that ids sort by age.
func newID(prefix string) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], tick())
	_, _ = rand.Read(b[8:]) // It never fails: see crypto/rand.
	return prefix + hex.EncodeToString(b[:])
}

var lastTick atomic.Uint64

// tick returns the time in milliseconds, times 2^16, or one more than last time.
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

// timestamp returns the time as the service writes it: UTC, in microseconds.
func timestamp() generated.Timestamp {
	return generated.Timestamp{Time: time.Now().UTC().Truncate(time.Microsecond)}
}
