package postgres

import (
	"context"
	"encoding/hex"
	"net/url"
	"strings"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/apikey"
	"github.com/breakpilot/tenant-registry/internal/registry"
)

// channel is where replicas notify each other of what they changed. A payload is a list of words, separated by blanks:
// "flush" is everything; tenant:ID, key:ID, hash:HEX, product:KEY, slug:SLUG and org:ID, percent-encoded, name one
// thing. A replica treats a word that it does not know as "flush", so that words can be added. "beat NONCE" is a
// heartbeat, which means something to the replica that sent it only.
const channel = "tenant_registry"

const heartbeatWord = "beat "

// maxPayload is less than the 8,000 bytes that Postgres takes.
const maxPayload = 7_900

const flushPayload = "flush"

// PublishInvalidation implements registry.InvalidationWriter.
func (t *tx) PublishInvalidation(ctx context.Context, i registry.Invalidation) error {
	const sql = `SELECT pg_notify('` + channel + `', $1)`
	return change(ctx, t, query{"publish invalidation", sql, []any{payloadOf(i)}})
}

// payloadOf names each thing one time; an invalidation that does not fit is everything.
func payloadOf(i registry.Invalidation) string {
	if i.All {
		return flushPayload
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
	for _, id := range i.Tenants {
		add("tenant", id.String())
	}
	for _, id := range i.Keys {
		add("key", id.String())
	}
	for _, hash := range i.Hashes {
		add("hash", hex.EncodeToString(hash[:]))
	}
	for _, key := range i.Products {
		add("product", key)
	}
	for _, slug := range i.Slugs {
		add("slug", slug)
	}
	for _, org := range i.Orgs {
		add("org", url.QueryEscape(org))
	}
	if size > maxPayload {
		return flushPayload
	}
	return strings.Join(words, " ")
}

// parsePayload reads a payload; one that is not understood is everything.
func parsePayload(payload string) registry.Invalidation {
	var i registry.Invalidation
	for _, word := range strings.Fields(payload) {
		kind, name, _ := strings.Cut(word, ":")
		id, noID := uuid.Parse(name)
		hash, noHash := hex.DecodeString(name)
		org, noText := url.QueryUnescape(name)
		switch {
		case kind == "tenant" && noID == nil:
			i.Tenants = append(i.Tenants, id)
		case kind == "key" && noID == nil:
			i.Keys = append(i.Keys, id)
		case kind == "hash" && noHash == nil && len(hash) == len(apikey.Hash{}):
			i.Hashes = append(i.Hashes, apikey.Hash(hash))
		case kind == "product" && name != "":
			i.Products = append(i.Products, name)
		case kind == "slug" && name != "":
			i.Slugs = append(i.Slugs, name)
		case kind == "org" && noText == nil && org != "":
			i.Orgs = append(i.Orgs, org)
		default:
			return registry.Invalidation{All: true}
		}
	}
	i.All = i.Empty()
	return i
}
