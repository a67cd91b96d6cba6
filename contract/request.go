package contract

import (
	"cmp"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// CheckRequest checks a request and its body. The caller reads the body: CheckRequest
// does not use r.Body. If the method and path match none of the operations, CheckRequest
// returns a nil operation and one violation.
func (c *Contract) CheckRequest(r *http.Request, body []byte) (*Operation, []Violation) {
	if r == nil || r.URL == nil {
		return nil, []Violation{{In: "path", Rule: "route", Message: "URL is missing"}}
	}
	method := cmp.Or(r.Method, http.MethodGet)
	escaped := r.URL.EscapedPath()
	op, parts := c.route(method, escaped)
	if op == nil {
		if allowed := c.methods(escaped); allowed != nil {
			return nil, []Violation{{
				In: "path", Pointer: escaped, Rule: "method",
				Message: "must be " + strings.Join(allowed, " or "), Value: short(method),
			}}
		}
		return nil, []Violation{{
			In: "path", Pointer: escaped, Rule: "route",
			Message: "must be a path in the document", Value: short(method + " " + escaped),
		}}
	}
	found := op.checkPath(parts)
	found = append(found, op.checkQuery(r.URL.RawQuery)...)
	found = append(found, op.checkBody(r.Header, body)...)
	return op, found
}

func (op *Operation) checkPath(parts []string) []Violation {
	var list []Violation
	for i := range op.parameters {
		p := &op.parameters[i]
		if p.in == "path" {
			found := p.check(parts[p.segment:p.segment+1], op.contract.strict)
			list = append(list, violations(op.ID, "path", p.name, found)...)
		}
	}
	return list
}

func (op *Operation) checkQuery(raw string) []Violation {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return []Violation{{
			Operation: op.ID, In: "query", Rule: "encoding",
			Message: "must be a valid query (" + err.Error() + ")", Value: short(raw),
		}}
	}
	var list []Violation
	for i := range op.parameters {
		p := &op.parameters[i]
		if p.in != "query" {
			continue
		}
		values, ok := query[p.name]
		delete(query, p.name)
		switch {
		case ok:
			list = append(list, violations(op.ID, "query", p.name, p.check(values, op.contract.strict))...)
		case p.required:
			list = append(list, Violation{
				Operation: op.ID, In: "query", Pointer: p.name, Rule: "required", Message: "parameter is missing",
			})
		}
	}
	if op.contract.strict {
		for name, values := range query {
			list = append(list, Violation{
				Operation: op.ID, In: "query", Pointer: name, Rule: "unknown",
				Message: "parameter is not allowed", Value: short(toAny(values)),
			})
		}
	}
	slices.SortStableFunc(list, func(a, b Violation) int { return cmp.Compare(a.Pointer, b.Pointer) })
	return list
}

func (op *Operation) checkBody(header http.Header, body []byte) []Violation {
	if op.body == nil {
		if len(body) > 0 && op.contract.strict {
			return []Violation{{
				Operation: op.ID, In: "body", Rule: "unexpected", Message: "must be empty", Value: short(string(body)),
			}}
		}
		return nil
	}
	if len(body) == 0 {
		if op.bodyRequired {
			return []Violation{{Operation: op.ID, In: "body", Rule: "required", Message: "body is missing"}}
		}
		return nil
	}
	media, found := op.checkMedia(header, op.RequestMediaTypes())
	if found != nil {
		return found
	}
	return violations(op.ID, "body", "", checkJSON(op.body[media], body, op.contract.strict))
}

// checkMedia returns the media type of the Content-Type header field, which must be one
// of the accepted ones.
func (op *Operation) checkMedia(header http.Header, accepted []string) (string, []Violation) {
	v := Violation{Operation: op.ID, In: "header", Pointer: "Content-Type"}
	value := header.Get("Content-Type")
	media, _, err := mime.ParseMediaType(value)
	switch {
	case value == "":
		v.Rule, v.Message = "required", "must be "+strings.Join(accepted, " or ")
	case err != nil || !slices.Contains(accepted, media):
		v.Rule, v.Message, v.Value = "mediaType", "must be "+strings.Join(accepted, " or "), short(value)
	default:
		return media, nil
	}
	return "", []Violation{v}
}
