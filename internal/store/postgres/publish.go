package postgres

import (
	"context"
	"encoding/hex"
	"strings"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// channel is where replicas tell each other what changed. What is said there are words, separated by blanks: "flush" means everything,
// tenant:ID, key:ID, hash:HEX, product:KEY and slug:SLUG name one thing. Whoever reads a word that they do not know takes it for
// "flush", so that words can be added. "beat REPLICA NANOSECONDS" is a heartbeat.
const channel = "tenant_registry"

// maxPayload is less than the 8,000 bytes that Postgres takes.
const maxPayload = 7_900

const everything = "flush"

// Publish implements registry.Publisher.
func (t *tx) Publish(ctx context.Context, touched registry.Touched) error {
	const sql = `SELECT pg_notify('` + channel + `', $1)`
	return change(ctx, t, query{"publish a change", sql, []any{payloadOf(touched)}})
}

// payloadOf names each thing once; what does not fit is everything.
func payloadOf(t registry.Touched) string {
	if t.All {
		return everything
	}
	var words []string
	seen, size := map[string]bool{}, 0
	add := func(kind, name string) {
		if word := kind + ":" + name; !seen[word] {
			seen[word] = true
			words = append(words, word)
			size += len(word) + 1
		}
	}
	for _, id := range t.Tenants {
		add("tenant", id.String())
	}
	for _, id := range t.Keys {
		add("key", id.String())
	}
	for _, hash := range t.Hashes {
		add("hash", hex.EncodeToString(hash[:]))
	}
	for _, key := range t.Products {
		add("product", key)
	}
	for _, slug := range t.Slugs {
		add("slug", slug)
	}
	if size > maxPayload {
		return everything
	}
	return strings.Join(words, " ")
}

// touchedBy reads a payload; one that is not understood is everything.
func touchedBy(payload string) registry.Touched {
	var t registry.Touched
	for _, word := range strings.Fields(payload) {
		kind, name, _ := strings.Cut(word, ":")
		id, noID := uuid.Parse(name)
		hash, noHash := hex.DecodeString(name)
		switch {
		case kind == "tenant" && noID == nil:
			t.Tenants = append(t.Tenants, id)
		case kind == "key" && noID == nil:
			t.Keys = append(t.Keys, id)
		case kind == "hash" && noHash == nil && len(hash) == len(registry.Hash{}):
			t.Hashes = append(t.Hashes, registry.Hash(hash))
		case kind == "product" && name != "":
			t.Products = append(t.Products, name)
		case kind == "slug" && name != "":
			t.Slugs = append(t.Slugs, name)
		default:
			return registry.Touched{All: true}
		}
	}
	t.All = t.Empty()
	return t
}
