package emulator

import (
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
)

const controlPath = "/_emulator/"

// serveControl serves the requests below controlPath. The emulator does not count, record
// or limit them, and injects no faults into them.
func (e *Emulator) serveControl(w http.ResponseWriter, r *http.Request) {
	c := control{e: e, w: w}
	if e.isKey != nil {
		if refused := e.authorize(r); refused != nil {
			c.write(refused.Status, refused.Body)
			return
		}
	}
	switch r.Method + " " + r.URL.Path {
	case "GET " + controlPath + "state":
		c.state()
	case "POST " + controlPath + "reset":
		e.Reset()
		w.WriteHeader(http.StatusNoContent)
	case "GET " + controlPath + "faults":
		c.write(http.StatusOK, e.Faults())
	case "PUT " + controlPath + "faults":
		c.setFaults(r)
	case "DELETE " + controlPath + "faults":
		_ = e.SetFaults() // An empty list is always valid.
		w.WriteHeader(http.StatusNoContent)
	case "GET " + controlPath + "requests":
		c.requests(r)
	default:
		c.refuse(http.StatusNotFound, "must be GET state, POST reset, GET, PUT or DELETE faults, or GET requests, below "+controlPath)
	}
}

// control is a request to the control endpoint.
type control struct {
	e *Emulator
	w http.ResponseWriter
}

func (c control) write(status int, body any) {
	text, ok := body.(string)
	if !ok {
		text = string(wire.Encode(body))
	}
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(status)
	_, _ = io.WriteString(c.w, text) // An error means that the client has disconnected.
}

func (c control) refuse(status int, why string) {
	c.write(status, map[string]string{"detail": why})
}

func (c control) state() {
	cfg, counts := c.e.cfg, c.e.store.Counts()
	c.write(http.StatusOK, map[string]any{
		"stats": c.e.Stats(),
		"limits": map[string]any{
			"requests_per_second": cfg.RequestsPerSecond, "tokens_per_minute": cfg.TokensPerMinute, "mode": cfg.Mode, "models": c.e.quota.Left(),
		},
		"conversations": counts.Conversations, "conversation_bytes": counts.ConversationBytes,
		"agents": counts.Agents, "agent_bytes": counts.AgentBytes, "faults": len(c.e.Faults()),
	})
}

func (c control) setFaults(r *http.Request) {
	const maxBytes = 1 << 20
	data, err := io.ReadAll(http.MaxBytesReader(c.w, r.Body, maxBytes))
	if err != nil {
		c.refuse(http.StatusBadRequest, "cannot read the request's content: "+err.Error())
		return
	}
	list, err := ParseFaults(data)
	if err == nil {
		err = c.e.SetFaults(list...)
	}
	if err != nil {
		c.refuse(http.StatusUnprocessableEntity, err.Error())
		return
	}
	c.write(http.StatusOK, c.e.Faults())
}

// requests responds with the last recorded requests, oldest first.
func (c control) requests(r *http.Request) {
	last := 100
	if text := r.URL.Query().Get("last"); text != "" {
		var err error
		if last, err = strconv.Atoi(text); err != nil || last < 1 || last > MaxRecorded {
			c.refuse(http.StatusUnprocessableEntity, fmt.Sprintf("last: must be from 1 to %d, got %q", MaxRecorded, text))
			return
		}
	}
	list := c.e.Requests()
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(http.StatusOK)
	separator := "["
	for _, recorded := range list[max(0, len(list)-last):] { // Encoding all at once would need much memory.
		if _, err := io.WriteString(c.w, separator+string(wire.Encode(recorded))); err != nil {
			return
		}
		separator = ","
	}
	if separator == "[" {
		_, _ = io.WriteString(c.w, "[")
	}
	_, _ = io.WriteString(c.w, "]")
}
