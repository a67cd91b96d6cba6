package emulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/contract"
)

// reply answers with a JSON body; nil means none, a string is JSON already.
func (e *Emulator) reply(x *exchange, status int, body any) {
	var data []byte
	switch body := body.(type) {
	case nil:
	case string:
		data = []byte(body)
	default:
		data = encode(body)
	}
	if body != nil {
		if x.out.Header().Get("Content-Type") == "" { // An Error may have one of its own.
			x.out.Header().Set("Content-Type", "application/json")
		}
	}
	if x.law != nil {
		e.violations(x.law.CheckResponse(status, x.out.Header(), data))
	}
	if body != nil {
		data = x.fault.spoil(data)
		x.out.Header().Set("Content-Length", strconv.Itoa(len(data)))
	}
	if x.begin(status) {
		_, _ = x.out.Write(data) //nolint:gosec // What a client sent comes back as JSON or text. One that has gone needs no reply.
	}
}

// encode writes JSON as the service does: in one line, with <, > and & as they are.
func encode(value any) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		// All that is sent came as JSON or was made here, but for what a Config.Model
		// returns: a fault in the test, which must not pass for a reply.
		panic(fmt.Errorf("emulator: reply is no JSON: %w", err))
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

func (e *Emulator) violations(found []contract.Violation) {
	for _, v := range found {
		e.cfg.OnViolation(v)
	}
}

// limitHeaders sets the headers that the service sends with conversations that are
// not streamed.
func (e *Emulator) limitHeaders(x *exchange) {
	if x.model == NoModel || x.stream {
		return
	}
	now, header := time.Now(), x.out.Header()
	e.gate.toolHeaders(header, x.tools, now)
	if limit, left, ok := e.gate.tokens(x.model, now); ok {
		header.Set("x-ratelimit-limit-tokens-minute", strconv.Itoa(limit))
		header.Set("x-ratelimit-remaining-tokens-minute", strconv.Itoa(left))
	}
	if !e.cfg.ChatHeaders {
		return
	}
	if limit, left, ok := e.gate.requests(x.model, now); ok {
		header.Set("x-ratelimit-limit-req-minute", strconv.Itoa(limit))
		header.Set("x-ratelimit-remaining-req-minute", strconv.Itoa(left))
	}
	if x.refused == nil {
		header.Set("x-ratelimit-tokens-query-cost", strconv.Itoa(x.tokens))
	}
}

// ok answers 200.
func (e *Emulator) ok(x *exchange, body any) { e.reply(x, http.StatusOK, body) }

// noContent answers 204, as the service does to every DELETE.
func (e *Emulator) noContent(x *exchange) { e.reply(x, http.StatusNoContent, nil) }
