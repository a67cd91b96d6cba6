package emulator

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// strike lets a fault strike a request, if it is the turn of one, and reports whether
// that answers the request.
func (e *Emulator) strike(x *exchange, r *http.Request) bool {
	if e.plan.empty() {
		return false
	}
	peeked := peek(x)
	x.stream = peeked.Stream
	fault, struck := e.plan.pick(x)
	if !struck {
		x.stream = false // The operation will say.
		return false
	}
	x.fault = &strike{Fault: fault}
	e.journal.strike(fault.Kind)
	switch {
	case fault.Kind == FaultDrip:
		x.out = &dripper{ResponseWriter: x.out, ctx: r.Context(), fault: fault}
	case fault.Kind == FaultRefuse:
		e.door.shut(fault.Delay) // First, so that who sees the end finds it so.
	case sleep(r.Context(), fault.Delay) != nil:
		return true
	}
	switch kind := kinds[fault.Kind]; {
	case kind.reply != nil:
		e.instead(x, kind, peeked)
	case fault.Kind == FaultStall:
		<-r.Context().Done()
	case fault.Kind == FaultClose, fault.Kind == FaultReset, fault.Kind == FaultRefuse:
		x.cut(fault.Kind == FaultReset)
	default:
		return false
	}
	return true
}

// instead answers with a fault's status.
func (e *Emulator) instead(x *exchange, kind traits, peeked peeked) {
	if kind.refused != nil {
		x.judged, x.refused, x.model = true, kind.refused, e.counted(e.modelOf(x, peeked))
		e.journal.judge(x)
	}
	reply := *kind.reply
	for name, value := range x.fault.Header {
		reply = *reply.with(name, value)
	}
	reply.write(e, x)
}

// peeked is what the body of a call that runs a model says about it.
type peeked struct {
	Stream  bool                      `json:"stream"`
	Model   string                    `json:"model"`
	AgentID string                    `json:"agent_id"`
	Version generated.StringOrInteger `json:"agent_version"`
}

func peek(x *exchange) peeked {
	switch x.operation.ID {
	case "StartConversation", "AppendConversation", "RestartConversation":
		var p peeked
		if err := json.Unmarshal(x.body, &p); err == nil {
			return p
		}
	}
	return peeked{} // What cannot be read is refused soon, unless it is struck.
}

// modelOf returns the model that a call would run; [NoModel] where that is unknown.
func (e *Emulator) modelOf(x *exchange, p peeked) string {
	switch x.operation.ID {
	case "StartConversation":
		if p.AgentID == "" {
			return p.Model
		}
		version, refused := e.agentVersion(p.AgentID, string(p.Version))
		if refused != nil {
			return NoModel
		}
		return version.Model
	case "AppendConversation", "RestartConversation":
		id, err := url.PathUnescape(strings.Split(x.escapedPath, "/")[3]) // Behind /v1/conversations/.
		if c, entries, ok := e.conversation(id); ok && err == nil {
			if s, refused := e.settings(&c, entries); refused == nil {
				return s.model
			}
		}
	}
	return NoModel
}

// cut ends the connection at once, with a reset or orderly.
func (x *exchange) cut(reset bool) {
	conn, _, err := x.Hijack()
	if err != nil {
		x.aborted = true // net/http has to do it: see ServeHTTP.
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0) // If it fails, the connection is closed all the same.
	}
	_ = conn.Close()
}

// begin sends the head of a reply, and reports whether the body may follow.
func (x *exchange) begin(status int) bool {
	if x.fault != nil && x.fault.Kind == FaultContentType && x.out.Header().Get("Content-Type") != "" {
		x.out.Header().Set("Content-Type", "text/html; charset=utf-8")
	}
	x.out.WriteHeader(status)
	if x.fault == nil || x.fault.Kind != FaultResetAfterHeaders {
		return true
	}
	_ = x.flush() // A client that has gone needs no head.
	x.cut(true)
	return false
}

func (x *exchange) flush() error {
	if err := http.NewResponseController(x.out).Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

// dripper is the writer of [FaultDrip].
type dripper struct {
	http.ResponseWriter
	ctx   context.Context //nolint:containedctx // A Write has none.
	fault Fault
	begun bool
}

func (d *dripper) Unwrap() http.ResponseWriter { return d.ResponseWriter }

// Write sends and flushes piece by piece.
func (d *dripper) Write(p []byte) (int, error) {
	size := d.fault.Bytes
	if size == 0 {
		size = usualDrip
	}
	written := 0
	for written < len(p) {
		if d.begun {
			if err := sleep(d.ctx, d.fault.Delay); err != nil {
				return written, err
			}
		}
		d.begun = true
		n, err := d.ResponseWriter.Write(p[written:min(written+size, len(p))])
		written += n
		if err == nil {
			err = http.NewResponseController(d.ResponseWriter).Flush()
		}
		if err != nil && !errors.Is(err, http.ErrNotSupported) {
			return written, err
		}
	}
	return written, nil
}
