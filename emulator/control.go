package emulator

import (
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
)

const controlPath = "/_emulator/"

// serveControl serves what is below controlPath. Nothing of it is counted, recorded,
// limited or struck by faults.
func (e *Emulator) serveControl(w http.ResponseWriter, r *http.Request) {
	c := control{e: e, w: w}
	if e.isKey != nil { // An emulator that has a key is not for everybody to look at.
		if refused := e.authorize(r); refused != nil {
			c.reply(refused.Status, refused.Body)
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
		c.reply(http.StatusOK, e.Faults())
	case "PUT " + controlPath + "faults":
		c.setFaults(r)
	case "DELETE " + controlPath + "faults":
		_ = e.SetFaults() // None is always a good list.
		w.WriteHeader(http.StatusNoContent)
	case "GET " + controlPath + "requests":
		c.requests(r)
	default:
		c.refuse(http.StatusNotFound, "want GET state, POST reset, GET, PUT or DELETE faults, or GET requests, below "+controlPath)
	}
}

// control is one request to the control endpoint.
type control struct {
	e *Emulator
	w http.ResponseWriter
}

func (c control) reply(status int, body any) {
	text, ok := body.(string)
	if !ok {
		text = string(wire.Encode(body))
	}
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(status)
	_, _ = io.WriteString(c.w, text) // One that has gone needs no reply.
}

func (c control) refuse(status int, why string) {
	c.reply(status, map[string]string{"detail": why})
}

func (c control) state() {
	cfg, counts := c.e.cfg, c.e.store.Counts()
	c.reply(http.StatusOK, map[string]any{
		"stats": c.e.Stats(),
		"limits": map[string]any{
			"requests_per_second": cfg.RequestsPerSecond, "tokens_per_minute": cfg.TokensPerMinute, "mode": cfg.Mode, "models": c.e.quota.Left(),
		},
		"conversations": counts.Conversations, "conversation_bytes": counts.ConversationBytes,
		"agents": counts.Agents, "agent_bytes": counts.AgentBytes, "faults": len(c.e.Faults()),
	})
}

func (c control) setFaults(r *http.Request) {
	const most = 1 << 20
	data, err := io.ReadAll(http.MaxBytesReader(c.w, r.Body, most))
	if err != nil {
		c.refuse(http.StatusBadRequest, "body cannot be read: "+err.Error())
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
	c.reply(http.StatusOK, c.e.Faults())
}

// requests answers with the last of them, the newest at the end.
func (c control) requests(r *http.Request) {
	last := 100
	if text := r.URL.Query().Get("last"); text != "" {
		var err error
		if last, err = strconv.Atoi(text); err != nil || last < 1 || last > MaxRecorded {
			c.refuse(http.StatusUnprocessableEntity, fmt.Sprintf("last is %q: want 1 to %d", text, MaxRecorded))
			return
		}
	}
	list := c.e.Requests()
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(http.StatusOK)
	before := "["
	for _, recorded := range list[max(0, len(list)-last):] { // One by one: together they are large.
		if _, err := io.WriteString(c.w, before+string(wire.Encode(recorded))); err != nil {
			return
		}
		before = ","
	}
	if before == "[" {
		_, _ = io.WriteString(c.w, "[")
	}
	_, _ = io.WriteString(c.w, "]")
}
