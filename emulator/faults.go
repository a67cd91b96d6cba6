package emulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/fault"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// Faults returns the faults that are in force.
func (e *Emulator) Faults() []Fault {
	if e.isZero() {
		return nil
	}
	return e.faults.Faults()
}

// SetFaults replaces the faults in force, for requests that come from now on; without
// arguments it removes them. Their counts begin at 0. It changes nothing when one makes no
// sense.
func (e *Emulator) SetFaults(list ...Fault) error {
	if e.isZero() {
		return errNoEmulator
	}
	if err := checkFaults(list, e.listener); err != nil {
		return err
	}
	e.faults.Set(list)
	return nil
}

// checkFaults reports a fault that makes no sense, or that needs a listener.
func checkFaults(list []Fault, l *listener) error {
	if err := fault.Validate(list); err != nil {
		return err
	}
	for i, f := range list {
		if f.Kind == fault.Refuse && l == nil {
			return fmt.Errorf("emulator: Faults[%d]: Kind: must not be %q, because only an emulator that listens itself (Start, Listen) can refuse connections", i, f.Kind)
		}
	}
	return nil
}

// inject injects a fault into the call, if one is due, and reports whether that responds to
// it.
func (e *Emulator) inject(c *call) bool {
	if e.faults.Empty() {
		return false
	}
	var request runRequest
	if runsModel(c.operation.ID) {
		_ = json.Unmarshal(c.body, &request) // What cannot be read is refused soon, unless it has a fault.
	}
	c.fault = e.faults.Pick(fault.Call{
		Operation: c.operation.ID, Stream: request.Stream, Model: e.modelOf(c, request), Method: c.r.Method, Path: c.r.URL.EscapedPath(),
	})
	if c.fault == nil {
		return false
	}
	c.record.Fault = c.fault.Kind
	c.record.setOperation(c.operation.ID, request.Stream)
	e.journal.fault(c.fault.Kind)
	ctx := c.r.Context()
	switch c.fault.Kind {
	case fault.SlowBody:
		c.w = c.fault.Writer(ctx, c.w)
	case fault.Refuse:
		e.listener.shut(c.fault.Delay) // First, so that a client that sees the end finds it so.
	default:
		if wire.Sleep(ctx, c.fault.Delay) != nil {
			return true
		}
	}
	if !c.fault.Kind.Replaces() {
		return false
	}
	switch c.fault.Kind {
	case fault.Stall:
		<-ctx.Done()
	case fault.Close, fault.Reset, fault.Refuse:
		c.response.cut(c.fault.Kind == fault.Reset)
	default:
		failure, refusal := c.fault.Response()
		if refusal != nil {
			e.journal.limits(c.record, e.counted(e.modelOf(c, request)), refusal)
		}
		e.fail(c, failure)
	}
	return true
}

// runRequest is what the content of a call that runs a model says about it.
type runRequest struct {
	Stream  bool                      `json:"stream"`
	Model   string                    `json:"model"`
	AgentID string                    `json:"agent_id"`
	Version generated.StringOrInteger `json:"agent_version"`
}

func runsModel(operation string) bool {
	return operation == "StartConversation" || operation == "AppendConversation" || operation == "RestartConversation"
}

// modelOf returns the model that a call would run; [NoModel] where that is unknown.
func (e *Emulator) modelOf(c *call, request runRequest) string {
	switch {
	case !runsModel(c.operation.ID):
		return NoModel
	case c.operation.ID != "StartConversation":
		id, err := url.PathUnescape(strings.Split(c.r.URL.EscapedPath(), "/")[3]) // Behind /v1/conversations/.
		conversation, missing := e.store.Conversation(id)
		if err != nil || missing != nil {
			return NoModel
		}
		if request.Version != "" && conversation.View.AgentID != "" {
			conversation.View.AgentVersion = request.Version
		}
		settings, _ := e.store.Settings(conversation, nil) // Without them the name is "".
		return settings.Model
	case request.AgentID == "":
		return request.Model
	}
	version, _ := e.store.Agent(request.AgentID, string(request.Version)) // Without one the name is "".
	return version.Model
}

var (
	errNoEmulator = errors.New("emulator: the Emulator is nil or a zero value: must be made with emulator.New, Start or Listen")
	errNoServer   = errors.New("emulator: the Server is nil or a zero value: must be made with emulator.Start or Listen")
)

// isZero reports whether none of the functions that make an emulator did.
func (e *Emulator) isZero() bool { return e == nil || e.journal == nil }

// isZero reports whether Listen did not make the server.
func (s *Server) isZero() bool { return s == nil || s.http == nil }
