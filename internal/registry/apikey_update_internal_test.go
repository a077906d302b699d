package registry

import (
	"reflect"
	"slices"
	"testing"
	"time"
)

func TestAPIKeyPatch_changesWhatIsPresent(t *testing.T) {
	t.Parallel()
	expires := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	k := APIKey{Name: "a", Scopes: []string{"a:read"}, ExpiresAt: &expires, Disabled: true}
	if got := (APIKeyPatch{}).apply(k); !reflect.DeepEqual(got, k) {
		t.Errorf("the empty patch makes %+v of %+v", got, k)
	}
	scopes := []string{"b:read"}
	got := APIKeyPatch{
		Name: Set("b"), Scopes: Set(scopes), ExpiresAt: Null[*time.Time](), Disabled: Set(false),
	}.apply(k)
	scopes[0] = "changed"
	if want := (APIKey{Name: "b", Scopes: []string{"b:read"}}); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	for _, none := range [][]string{nil, {}} {
		if got := (APIKeyPatch{Scopes: Set(none)}).apply(k); got.Scopes == nil || len(got.Scopes) > 0 {
			t.Errorf("no scopes are %#v", got.Scopes)
		}
	}
}

// Only the expiry of a key can be removed.
func TestAPIKeyPatch_onlyTheExpiryMayBeNull(t *testing.T) {
	t.Parallel()
	if err := (APIKeyPatch{ExpiresAt: Null[*time.Time]()}).validate(); err != nil {
		t.Errorf("no expiry: %v", err)
	}
	got := violations(
		t, APIKeyPatch{Name: Null[string](), Scopes: Null[[]string](), Disabled: Null[bool]()}.validate(),
	)
	want := []string{"/name must not be null", "/scopes must not be null", "/disabled must not be null"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
