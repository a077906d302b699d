package audit

import "testing"

func TestEvent_areaIsTheFirstSegment(t *testing.T) {
	t.Parallel()
	for action, want := range map[string]string{"a.b.c": "a", "login": "login", "": ""} {
		if got := (Event{Action: action}).Area(); got != want {
			t.Errorf("%q is of the area %q", action, got)
		}
	}
}
