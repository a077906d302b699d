package registry

import "testing"

func TestOptional_appliesWhatIsPresent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		member Optional[string]
		want   string
	}{
		"absent": {Optional[string]{}, "before"}, "null": {Null[string](), ""}, "a value": {Set("after"), "after"},
		"the zero value": {Set(""), ""},
	} {
		member := "before"
		if c.member.apply(&member); member != c.want {
			t.Errorf("%s makes it %q, want %q", name, member, c.want)
		}
	}
	if set, null := Set(1), Null[int](); !set.Present || set.Null || set.Value != 1 || !null.Present || !null.Null ||
		null.Value != 0 {
		t.Errorf("Set is %+v, Null is %+v", set, null)
	}
}
