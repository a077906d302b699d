package config

import (
	"slices"
	"strings"
)

// Getenv looks variables up in an environment, as the operating system does in the process's own.
func Getenv(environ []string) func(string) string {
	values := map[string]string{}
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		if _, set := values[name]; !set {
			values[name] = value
		}
	}
	return func(name string) string { return values[name] }
}

// Misspelling is a variable of the environment that is no setting, and looks like one.
type Misspelling struct{ Name, Meant string }

// Misspellings finds the variables of an environment that look like a setting and are none.
func Misspellings(environ []string) []Misspelling {
	var found []Misspelling
	for _, variable := range environ {
		name, _, _ := strings.Cut(variable, "=")
		if slices.ContainsFunc(Variables, func(v Variable) bool { return v.Name == name }) {
			continue
		}
		for _, v := range Variables {
			if looksLike(name, v.Name) {
				found = append(found, Misspelling{name, v.Name})
				break
			}
		}
	}
	return found
}

// looksLike reports whether a name is another one with a slip of the pen: one letter too many, missing, another or
// exchanged with its neighbour; two slips in a long name. Letter case is one slip, however many letters it is.
func looksLike(name, ours string) bool {
	most := 2
	if len(ours) < 8 {
		most = 1
	}
	if strings.EqualFold(name, ours) {
		return true
	}
	difference := len(name) - len(ours)
	return -most <= difference && difference <= most && distance(name, ours) <= most
}

// distance is how many slips lead from one name to another (optimal string alignment).
func distance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			slip := 1
			if a[i] == b[j] {
				slip = 0
			}
			row[j+1] = min(last[j]+slip, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
