package contract

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// CheckResponse checks a whole response: that its status is declared (or among the
// undescribed statuses), its media type, and its body. The body of an event stream
// is not looked at: see [Contract.CheckEvent].
func (op *Operation) CheckResponse(status int, header http.Header, body []byte) []Violation {
	todo, found := op.checkHead(status, header)
	if todo.body != nil {
		found = append(found, todo.body(body)...)
	}
	return found
}

// remaining is what is left to check of a response when its head has been. All of
// it is unset for a body of which nothing is known.
type remaining struct {
	body   bodyCheck
	events bool // the body is a stream of events
}

type bodyCheck func(body []byte) []Violation

// checkHead checks what is known before the body.
func (op *Operation) checkHead(status int, header http.Header) (remaining, []Violation) {
	declared, ok := op.response(status)
	if !ok {
		if op.contract.undescribed[status] {
			return remaining{body: op.undescribed(header)}, nil
		}
		want := make([]string, len(op.Statuses))
		for i, s := range op.Statuses {
			want[i] = strconv.Itoa(s)
		}
		return remaining{}, []Violation{{
			Operation: op.ID, In: "response", Pointer: "status", Rule: "status",
			Message: "want " + strings.Join(want, " or "), Value: strconv.Itoa(status),
		}}
	}
	if len(declared) == 0 {
		return remaining{body: op.noBody}, nil
	}
	media, wrong := op.checkMedia(header, op.ResponseMediaTypes(status))
	if wrong != nil {
		return remaining{}, wrong
	}
	if media == mediaEvents {
		return remaining{events: true}, nil
	}
	return remaining{body: func(body []byte) []Violation {
		return violations(op.ID, "response", "", checkJSON(declared[media], body, op.contract.strict))
	}}, nil
}

func (op *Operation) noBody(body []byte) []Violation {
	if len(body) == 0 {
		return nil
	}
	return []Violation{{
		Operation: op.ID, In: "response", Rule: "unexpected", Message: "want no body", Value: short(string(body)),
	}}
}

// undescribed checks of a body that it is JSON where its head says so.
func (op *Operation) undescribed(header http.Header) bodyCheck {
	media, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil || media != mediaJSON && !strings.HasSuffix(media, "+json") {
		return nil
	}
	return func(body []byte) []Violation {
		_, found := decodeJSON(body, op.contract.strict)
		return violations(op.ID, "response", "", found)
	}
}
