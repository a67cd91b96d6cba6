package generated

import "reflect"

// Fields returns all fields of what target points to as JSON: of what was decoded, what
// the types hold of it and not how it came.
func Fields(target any) string {
	w := output{printed: 1 << 30, text: 1 << 30}
	src := reflect.ValueOf(target).Elem()
	planOf(src.Type()).writeAny(&w, src)
	return string(w.buf)
}
