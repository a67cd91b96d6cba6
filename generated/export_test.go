package generated

import "reflect"

// Fields returns all fields of *target as complete JSON. It encodes the decoded fields and
// ignores the text that they were decoded from.
func Fields(target any) string {
	w := output{printLimit: 1 << 30, textLimit: 1 << 30}
	src := reflect.ValueOf(target).Elem()
	planOf(src.Type()).writeAny(&w, src)
	return string(w.buf)
}
