// Package nearest suggests a known name for a misspelled one.
package nearest

import "strings"

// Hint returns ` (did you mean "x"?)` for the name that is most similar to a misspelled name,
// or "" if all names differ too much. It ignores case, "-" and "_".
func Hint(name string, names []string) string {
	best, minDistance := "", 1+len([]rune(name))/3
	for _, candidate := range names {
		if d := distance(fold(name), fold(candidate)); d <= minDistance && (best == "" || d < minDistance) {
			best, minDistance = candidate, d
		}
	}
	if best == "" {
		return ""
	}
	return ` (did you mean "` + best + `"?)`
}

func fold(name string) []rune {
	return []rune(strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(name)))
}

// distance returns the optimal string alignment distance: the number of runes to insert, delete,
// replace or swap with the next one.
func distance(a, b []rune) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range b {
		rows[0][j+1] = j + 1
	}
	for i := range a {
		for j := range b {
			change := rows[i][j]
			if a[i] != b[j] {
				change++
			}
			d := min(rows[i][j+1]+1, rows[i+1][j]+1, change)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				d = min(d, rows[i-1][j-1]+1)
			}
			rows[i+1][j+1] = d
		}
	}
	return rows[len(a)][len(b)]
}
