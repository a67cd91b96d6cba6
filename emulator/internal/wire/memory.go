package wire

// Memory returns approximately how much memory JSON takes when it is decoded: its bytes,
// and those of the Go value that each element and each member becomes.
func Memory(text []byte) int {
	const value = 80
	return len(text) + value*CountValues(text)
}

// KeptMemory returns the memory of a request whose contents are kept, with the ids and
// times that are added.
func KeptMemory(text []byte) int {
	const added = 2 << 10
	return added + Memory(text)
}

// CountValues returns approximately how many values there are in JSON.
func CountValues(text []byte) int {
	values, inString, escaped := 0, false, false
	for _, c := range text {
		switch {
		case escaped:
			escaped = false
		case inString && c == '\\':
			escaped = true
		case c == '"':
			inString = !inString
		case !inString && (c == ',' || c == '{' || c == '['):
			values++
		}
	}
	return values
}
