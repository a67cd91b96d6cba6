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

// Faults returns the faults in force.
func (e *Emulator) Faults() []Fault {
	if e.isZero() {
		return nil
	}
	return e.faults.Faults()
}

// SetFaults replaces the faults in force for all later requests. Without arguments it
// removes them. The counts of the new faults start at 0. If a fault is invalid, it returns
// an error and changes nothing.
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

// checkFaults reports an invalid fault, or one that needs a listener if l is nil.
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

// inject injects the first matching fault into the call. It reports whether the fault
// replaces the response.
func (e *Emulator) inject(c *call) bool {
	if e.faults.Empty() {
		return false
	}
	var request runRequest
	if runsModel(c.operation.ID) {
		_ = json.Unmarshal(c.body, &request) // Invalid content is rejected later, if the fault does not replace the response.
	}
	c.fault = e.faults.Pick(fault.Call{
		Operation: c.operation.ID, Stream: request.Stream, Model: e.modelOf(c, request), Method: c.r.Method, Path: c.r.URL.EscapedPath(),
	})
	if c.fault == nil {
		return false
	}
	c.record.Fault = c.fault.Kind
	c.record.setOperation(c.operation.ID, request.Stream)
	e.log.fault(c.fault.Kind)
	ctx := c.r.Context()
	switch c.fault.Kind {
	case fault.SlowBody:
		c.w = c.fault.Writer(ctx, c.w)
	case fault.Refuse:
		e.listener.shut(c.fault.Delay) // First the listener, so that a client that reconnects is refused.
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
			e.log.limits(c.record, e.countedName(e.modelOf(c, request)), refusal)
		}
		e.fail(c, failure)
	}
	return true
}

// runRequest is the part of a request that identifies the model to run.
type runRequest struct {
	Stream  bool                      `json:"stream"`
	Model   string                    `json:"model"`
	AgentID string                    `json:"agent_id"`
	Version generated.StringOrInteger `json:"agent_version"`
}

func runsModel(operation string) bool {
	return operation == "StartConversation" || operation == "AppendConversation" || operation == "RestartConversation"
}

// modelOf returns the model that a call would run, or [NoModel] if it is unknown.
func (e *Emulator) modelOf(c *call, request runRequest) string {
	switch {
	case !runsModel(c.operation.ID):
		return NoModel
	case c.operation.ID != "StartConversation":
		id, err := url.PathUnescape(strings.Split(c.r.URL.EscapedPath(), "/")[3]) // The segment after /v1/conversations/.
		conversation, missing := e.store.Conversation(id)
		if err != nil || missing != nil {
			return NoModel
		}
		if request.Version != "" && conversation.View.AgentID != "" {
			conversation.View.AgentVersion = request.Version
		}
		settings, _ := e.store.Settings(conversation, nil) // On failure the model is "".
		return settings.Model
	case request.AgentID == "":
		return request.Model
	}
	version, _ := e.store.Agent(request.AgentID, string(request.Version)) // On failure the model is "".
	return version.Model
}

var (
	errNoEmulator = errors.New("emulator: the Emulator is nil or a zero value: must be made with emulator.New, Start or Listen")
	errNoServer   = errors.New("emulator: the Server is nil or a zero value: must be made with emulator.Start or Listen")
)

// isZero reports whether the emulator is nil or a zero value.
func (e *Emulator) isZero() bool { return e == nil || e.log == nil }

// isZero reports whether the server is nil or a zero value.
func (s *Server) isZero() bool { return s == nil || s.http == nil }
