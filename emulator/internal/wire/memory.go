package wire

// Memory estimates the memory of decoded JSON: the bytes of its text, and the Go value of
// each element and each member.
func Memory(text []byte) int {
	const value = 80
	return len(text) + value*CountValues(text)
}

// KeptMemory estimates the memory of a stored request, with the ids and times that the
// emulator adds.
func KeptMemory(text []byte) int {
	const added = 2 << 10
	return added + Memory(text)
}

// CountValues estimates the number of values in JSON.
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
