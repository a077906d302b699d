package postgres

import (
	"reflect"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

func TestPayload(t *testing.T) {
	t.Parallel()
	id := uuid.MustParse("00000000-0000-0000-0000-000000000001")
	for _, c := range []struct {
		name    string
		touched registry.Touched
		payload string
	}{
		{"everything", registry.Touched{All: true}, "flush"},
		{"a tenant", registry.Touched{Tenants: []uuid.UUID{id}}, "tenant:" + id.String()},
		{"one of each", registry.Touched{
			Tenants: []uuid.UUID{id}, Keys: []uuid.UUID{id}, Hashes: []registry.Hash{{1, 0xff}}, Products: []string{"p"}, Slugs: []string{"a", "b"},
		}, "tenant:" + id.String() + " key:" + id.String() + " hash:01ff" + strings.Repeat("0", 60) + " product:p slug:a slug:b"},
	} {
		if got := payloadOf(c.touched); got != c.payload {
			t.Errorf("%s is told as %q", c.name, got)
		}
		if got := touchedBy(c.payload); !reflect.DeepEqual(got, c.touched) {
			t.Errorf("%s is heard as %+v", c.name, got)
		}
	}
	if got := payloadOf(registry.Touched{Keys: []uuid.UUID{id, id}}); got != "key:"+id.String() {
		t.Errorf("the same twice is told as %q", got)
	}
	many := registry.Touched{Slugs: make([]string, 2000)}
	for i := range many.Slugs {
		many.Slugs[i] = uuid.NewString()
	}
	if got := payloadOf(many); got != "flush" {
		t.Errorf("too much is told in %d bytes", len(got))
	}
	for _, payload := range []string{"", " ", "word", "flush", "key:", "key:x", "hash:01", "slug:", "slug:a later:thing", "slug:a flush"} {
		if got := touchedBy(payload); !got.All {
			t.Errorf("%q is heard as %+v", payload, got)
		}
	}
}
