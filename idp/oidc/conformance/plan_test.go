package conformance

import (
	"os"
	"regexp"
	"slices"
	"testing"
)

// module is one of the suite's.
type module struct {
	name string // as the suite has it
	run  func(t *testing.T, s *suite)
	// differs says that we deliberately do something else: run wants that.
	differs bool
}

// play plays the modules of a plan, one after the other.
func play(t *testing.T, s *suite, modules []module) {
	t.Helper()
	for _, m := range modules {
		t.Run(m.name, func(t *testing.T) { m.run(t, s) })
	}
}

// What we do otherwise is written down, and nothing else is.
func TestDifferencesAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../../docs/divergences.md")
	if err != nil {
		t.Fatal(err)
	}
	written := regexp.MustCompile("`((?:oidcc|fapi2)-[a-zA-Z0-9_-]+)`").FindAllStringSubmatch(string(text), -1)
	var have, want []string
	for _, m := range written {
		have = append(have, m[1])
	}
	for _, m := range slices.Concat(basic(), config(), dynamic(), pushed(), logout(), backChannel(), frontChannel()) {
		if m.differs {
			want = append(want, m.name)
		}
	}
	slices.Sort(have)
	slices.Sort(want)
	for _, name := range slices.Compact(slices.Clone(want)) {
		if !slices.Contains(have, name) {
			t.Errorf("%s: we do something else, and docs/divergences.md does not say so", name)
		}
	}
	for _, name := range slices.Compact(have) {
		if !slices.Contains(want, name) {
			t.Errorf("%s: docs/divergences.md says that we do something else", name)
		}
	}
}
