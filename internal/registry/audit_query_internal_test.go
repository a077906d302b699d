package registry

import (
	"strings"
	"testing"
)

func TestActionFilter_isActionOrArea(t *testing.T) {
	t.Parallel()
	seg200 := strings.Repeat("a", 200)
	for text, want := range map[string]AuditQuery{
		"tenant.create": {Action: "tenant.create"}, "login": {Action: "login"}, "a.b.c": {Action: "a.b.c"},
		seg200:     {Action: seg200},
		"tenant.*": {Area: "tenant"}, "A_b-0.*": {Area: "A_b-0"}, seg200 + ".*": {Area: seg200},
	} {
		q := AuditQuery{PageRequest: PageRequest{Limit: 7}, ActorID: "u"}
		want.Limit, want.ActorID = 7, "u"
		if err := q.ActionFilter(text); err != nil || q != want {
			t.Errorf("%s: %+v, %v", text, q, err)
		}
	}
	for _, text := range []string{
		"", "*", ".*", "a*", "a.b.*", "a.*.b", "*.a", "a.**", "a.*.*", "a..b", "a.", ".a", "a b", "a\n", "a.*\n", "ä",
		"ä.*", "%", "a%", seg200 + "a", seg200 + "a.*",
	} {
		var q AuditQuery
		err := q.ActionFilter(text)
		if err == nil || q != (AuditQuery{}) {
			t.Errorf("%q: %+v, %v", text, q, err)
		}
		if len(text) > 3 && err != nil && strings.Contains(err.Error(), text) {
			t.Errorf("%q is echoed: %v", text, err)
		}
	}
}
