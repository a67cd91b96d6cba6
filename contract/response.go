package contract

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// CheckResponse checks the status code, the media type and the body of a response. The
// status must be declared, or be one of the undescribed statuses. CheckResponse does not
// check the body of an event stream; use [Contract.CheckEvent].
func (op *Operation) CheckResponse(status int, header http.Header, body []byte) []Violation {
	rest, found := op.checkHead(status, header)
	if rest.body != nil {
		found = append(found, rest.body(body)...)
	}
	return found
}

// remaining holds the checks of a response after those of its head. It is zero if the
// body cannot be checked.
type remaining struct {
	body   bodyCheck
	events bool // whether the body is an event stream
}

type bodyCheck func(body []byte) []Violation

// checkHead checks the status code and the header of a response.
func (op *Operation) checkHead(status int, header http.Header) (remaining, []Violation) {
	declared, ok := op.response(status)
	if !ok {
		if op.contract.undescribed[status] {
			return remaining{body: op.undescribed(header)}, nil
		}
		accepted := make([]string, len(op.Statuses))
		for i, s := range op.Statuses {
			accepted[i] = strconv.Itoa(s)
		}
		return remaining{}, []Violation{{
			Operation: op.ID, In: "response", Pointer: "status", Rule: "status",
			Message: "must be " + strings.Join(accepted, " or "), Value: strconv.Itoa(status),
		}}
	}
	if len(declared) == 0 {
		return remaining{body: op.noBody}, nil
	}
	media, found := op.checkMedia(header, op.ResponseMediaTypes(status))
	if found != nil {
		return remaining{}, found
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
		Operation: op.ID, In: "response", Rule: "unexpected", Message: "must be empty", Value: short(string(body)),
	}}
}

// undescribed checks that a body is valid JSON if its media type is JSON.
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
