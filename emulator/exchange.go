package emulator

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/contract"
)

// exchange is one request on its way through the emulator and what became of it. It
// belongs to the goroutine that serves the request. As a ResponseWriter it notes the
// status of what passes, be it the emulator's reply or a hook's.
type exchange struct {
	http.ResponseWriter
	// out is what the emulator writes to: the exchange, or what a hook put around it.
	out http.ResponseWriter

	method, path string
	escapedPath  string
	query        string
	key          string // that the request carried
	arrived      time.Time
	id           string // its mistral-correlation-id; "" until it has one

	operation *contract.Operation // nil until known
	law       *contract.Operation // what replies are checked against; nil without OnViolation
	body      []byte
	stream    bool
	records   bool // whether the body is recorded

	judged  bool     // whether the gate was asked
	refused *refusal // its answer, if no
	model   string   // as asked for; [NoModel] for none
	tools   []string // of the service's, that the call has
	tokens  int      // charged

	fault   *strike // that struck; nil for none
	aborted bool    // whether net/http has to cut the connection

	status int    // 0 while no reply has begun
	held   *share // of what is in flight
}

// name is the operation's name, the streamed twins being operations of their own.
func (x *exchange) name() string {
	switch {
	case x.operation == nil:
		return ""
	case x.stream:
		return x.operation.ID + "Stream"
	default:
		return x.operation.ID
	}
}

type exchangeKey struct{}

func (x *exchange) in(ctx context.Context) context.Context {
	return context.WithValue(ctx, exchangeKey{}, x)
}

// exchangeOf returns the exchange that ServeHTTP began. A hook that replaced the
// request's context has broken the emulator, which had better be seen at once.
func exchangeOf(r *http.Request) *exchange {
	x, ok := r.Context().Value(exchangeKey{}).(*exchange)
	if !ok {
		panic("emulator: Intercept passed on a request without its context")
	}
	return x
}

// WriteHeader notes the status.
func (x *exchange) WriteHeader(status int) {
	if x.status == 0 && status >= http.StatusOK {
		x.status = status
	}
	x.ResponseWriter.WriteHeader(status)
}

// Write notes the status when none was written.
func (x *exchange) Write(p []byte) (int, error) {
	if x.status == 0 {
		x.status = http.StatusOK
	}
	return x.ResponseWriter.Write(p)
}

// Unwrap is for [http.ResponseController].
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// FlushError is for [http.ResponseController].
func (x *exchange) FlushError() error { return http.NewResponseController(x.ResponseWriter).Flush() }

// Flush and Hijack are for hooks that look for [http.Flusher] and [http.Hijacker].
func (x *exchange) Flush() { _ = x.FlushError() }

// Hijack takes over the connection, where that is possible.
func (x *exchange) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(x.ResponseWriter).Hijack()
}

// leastBlotted is the length of a key from which on it is looked for in a request: a
// shorter one is a word, as likely as not.
const leastBlotted = 8

// blot takes the key out of what is recorded.
func (x *exchange) blot(text string) string {
	if len(x.key) < leastBlotted {
		return text
	}
	return strings.NewReplacer(x.key, "[key]", url.QueryEscape(x.key), "[key]").Replace(text)
}

func (x *exchange) recordedBody() string {
	if !x.records {
		return ""
	}
	return cut(x.blot(string(x.body[:min(len(x.body), MaxRecordedBody+len(x.key))])), MaxRecordedBody)
}

// cut returns the start of a text, in as much memory as that needs.
func cut(text string, most int) string {
	if len(text) > most {
		text = strings.Clone(text[:most])
	}
	return strings.ToValidUTF8(text, "")
}
