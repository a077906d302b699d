package postgres

import (
	"reflect"
	"strings"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/apikey"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

func TestPayload(t *testing.T) {
	t.Parallel()
	id := uuid.MustParse("00000000-0000-0000-0000-000000000001")
	for _, c := range []struct {
		name    string
		names   registry.Invalidation
		payload string
	}{
		{"everything", registry.Invalidation{All: true}, "flush"},
		{"a tenant", registry.Invalidation{Tenants: []uuid.UUID{id}}, "tenant:" + id.String()},
		{"one of each", registry.Invalidation{
			Tenants: []uuid.UUID{id}, Keys: []uuid.UUID{id}, Hashes: []apikey.Hash{{1, 0xff}}, Products: []string{"p"},
			Slugs: []string{"a", "b"},
		}, "tenant:" + id.String() + " key:" + id.String() + " hash:01ff" + strings.Repeat("0",
			60) + " product:p slug:a slug:b"},
	} {
		if got := payloadOf(c.names); got != c.payload {
			t.Errorf("%s is published as %q", c.name, got)
		}
		if got := parsePayload(c.payload); !reflect.DeepEqual(got, c.names) {
			t.Errorf("%s is read as %+v", c.name, got)
		}
	}
	if got := payloadOf(registry.Invalidation{Keys: []uuid.UUID{id, id}}); got != "key:"+id.String() {
		t.Errorf("the same twice is published as %q", got)
	}
	many := registry.Invalidation{Slugs: make([]string, 2000)}
	for i := range many.Slugs {
		many.Slugs[i] = uuid.NewString()
	}
	if got := payloadOf(many); got != "flush" {
		t.Errorf("too much is published in %d bytes", len(got))
	}
	for _, payload := range []string{
		"", " ", "word", "flush", "key:", "key:x", "hash:01", "slug:", "slug:a later:thing", "slug:a flush",
	} {
		if got := parsePayload(payload); !got.All {
			t.Errorf("%q is read as %+v", payload, got)
		}
	}
}
