package emulator

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

const controlPath = "/_emulator/"

// Reset makes an emulator as new: it forgets what it keeps, what it has counted and
// what it has seen, and the faults are those of [Config.Faults] again. A request that is
// being served is not disturbed; what it stores is gone, what it uses counts anew.
func (e *Emulator) Reset() {
	if e.isZero() {
		return
	}
	e.store.reset()
	e.gate.reset()
	e.journal.reset()
	e.plan.set(e.cfg.Faults)
}

// serveControl serves what is below controlPath. Nothing of it is counted, recorded,
// limited or struck by faults.
func (e *Emulator) serveControl(w http.ResponseWriter, r *http.Request) {
	c := control{e: e, w: w}
	if e.isKey != nil { // An emulator that has a key is not for everybody to look at.
		if refused := e.authorize(r); refused != nil {
			c.reply(refused.status, refused.body)
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
		text = string(encode(body))
	}
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(status)
	_, _ = io.WriteString(c.w, text) // One that has gone needs no reply.
}

func (c control) refuse(status int, why string) {
	c.reply(status, map[string]string{"detail": why})
}

// controlState is what GET state answers.
type controlState struct {
	Stats         Stats         `json:"stats"`
	Limits        controlLimits `json:"limits"`
	Conversations int           `json:"conversations"`
	Agents        int           `json:"agents"`
	Faults        int           `json:"faults"`
}

type controlLimits struct {
	Limit
	Mode   Mode            `json:"mode"`
	Models map[string]left `json:"models"`
}

func (c control) state() {
	cfg := c.e.cfg
	state := controlState{
		Stats: c.e.Stats(),
		Limits: controlLimits{
			Limit: Limit{RequestsPerSecond: cfg.RequestsPerSecond, TokensPerMinute: cfg.TokensPerMinute},
			Mode:  cfg.Mode, Models: c.e.gate.left(time.Now()),
		},
		Faults: len(c.e.Faults()),
	}
	state.Conversations, state.Agents = c.e.store.counts()
	c.reply(http.StatusOK, state)
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
		if _, err := io.WriteString(c.w, before+string(encode(recorded))); err != nil {
			return
		}
		before = ","
	}
	if before == "[" {
		_, _ = io.WriteString(c.w, "[")
	}
	_, _ = io.WriteString(c.w, "]")
}
