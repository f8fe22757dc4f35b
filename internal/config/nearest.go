package config

// Nearest returns the known word that word most likely means, or "" when none is near: a third of it and one letter may
// differ.
func Nearest(word string, known []string) string {
	best, limit := "", len(word)/3+1
	if len(word) > 40 {
		return ""
	}
	for _, k := range known {
		if d := edits(word, k); d <= limit {
			best, limit = k, d-1
		}
	}
	return best
}

// edits counts the letters to insert, remove, replace or swap with their neighbour that turn a into b.
func edits(a, b string) int {
	rows := [3][]int{make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)}
	before, last, row := rows[0], rows[1], rows[2]
	for j := range row {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replace := last[j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			row[j] = min(replace, last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
