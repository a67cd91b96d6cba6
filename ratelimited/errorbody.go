package ratelimited

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// newAPIError decodes an error response. The API uses several formats: an object with message, type, code and
// param; a "detail" that is a text or a list of validation errors; either of them inside "message" or
// "error"; and plain text. Fields that cannot be decoded stay empty; Body has the whole content.
func newAPIError(method, path string, resp *http.Response, body []byte) *APIError {
	e := &APIError{
		Method: method, Path: path, StatusCode: resp.StatusCode,
		RequestID: requestID(resp.Header), Header: resp.Header, Body: body,
	}
	if !e.readObject(body, 0) && !looksLikeHTML(resp.Header, body) {
		e.Message = excerpt(body)
	}
	if e.Message == "" && looksLikeHTML(resp.Header, body) {
		e.Message = http.StatusText(resp.StatusCode) + " (an HTML page instead of a response of the API)"
	}
	if location, err := resp.Location(); err == nil && resp.StatusCode/100 == 3 {
		e.Message = "a redirect to " + location.Scheme + "://" + location.Host + ", which the client does not follow: set BaseURL to the address of the API"
	}
	return e
}

// readObject decodes data as an error object, and reports false if it is not an object. depth limits the nesting:
// the formats nest at most twice.
func (e *APIError) readObject(data []byte, depth int) bool {
	var object struct {
		Message json.RawMessage `json:"message"`
		Detail  json.RawMessage `json:"detail"`
		Error   json.RawMessage `json:"error"`
		Type    json.RawMessage `json:"type"`
		Code    json.RawMessage `json:"code"`
		Param   json.RawMessage `json:"param"`
		Status  json.RawMessage `json:"status"`
		Raw     json.RawMessage `json:"raw_status_code"`
	}
	if depth > 2 || json.Unmarshal(data, &object) != nil {
		return false
	}
	for _, nested := range []json.RawMessage{object.Error, object.Message, object.Detail} {
		switch first := firstByte(nested); first {
		case '"':
			e.Message = scalarText(nested)
		case '{':
			e.readObject(nested, depth+1)
		case '[':
			e.readFindings(nested, depth)
		}
	}
	for field, raw := range map[*string]json.RawMessage{&e.Type: object.Type, &e.Code: object.Code, &e.Param: object.Param} {
		if text := scalarText(raw); text != "" {
			*field = text
		}
	}
	if n, err := strconv.ParseFloat(e.Code, 64); err == nil && n == float64(int64(n)) {
		e.Code = strconv.FormatInt(int64(n), 10) // 429.0 is 429
	}
	if text := cmp.Or(scalarText(object.Raw), scalarText(object.Status)); text != "" {
		e.namedStatus = text
	}
	return true
}

// readFindings decodes the list of a 422: [{"loc": ["body", "inputs", 0], "msg": …, "type": …}]. If the list contains
// error objects instead, the first one counts.
func (e *APIError) readFindings(data []byte, depth int) {
	var findings []struct {
		Location []json.RawMessage `json:"loc"`
		Message  json.RawMessage   `json:"msg"`
		Type     json.RawMessage   `json:"type"`
	}
	if json.Unmarshal(data, &findings) != nil || len(findings) == 0 {
		return
	}
	if findings[0].Location == nil && findings[0].Message == nil {
		var objects []json.RawMessage
		_ = json.Unmarshal(data, &objects) // data is a list
		e.readObject(objects[0], depth+1)
		return
	}
	for _, finding := range findings {
		var location []string
		for _, part := range finding.Location {
			location = append(location, scalarText(part))
		}
		e.Fields = append(e.Fields, FieldError{
			Location: strings.Join(location, "."),
			Type:     scalarText(finding.Type),
			Message:  scalarText(finding.Message),
		})
	}
}

// scalarText returns the text of a JSON string, number or boolean; empty for other values.
func scalarText(raw json.RawMessage) string {
	switch firstByte(raw) {
	case 0, '{', '[', 'n':
		return ""
	case '"':
		var s string
		if json.Unmarshal(raw, &s) != nil {
			return ""
		}
		return s
	default:
		return string(raw)
	}
}

// isObject reports whether a JSON text is an object.
func isObject(text []byte) bool { return firstByte(bytes.TrimLeft(text, " \t\r\n")) == '{' }

func firstByte(raw []byte) byte {
	if len(raw) == 0 {
		return 0
	}
	return raw[0]
}

func looksLikeHTML(header http.Header, body []byte) bool {
	return strings.Contains(header.Get("Content-Type"), "html") || bytes.HasPrefix(bytes.TrimSpace(body), []byte("<"))
}

func requestID(header http.Header) string {
	for _, name := range []string{"Mistral-Correlation-Id", "X-Kong-Request-Id"} {
		if id := header.Get(name); id != "" {
			return id
		}
	}
	return ""
}
