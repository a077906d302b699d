package registry

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
)

// TimeLayout is how times are written wherever they leave the service: UTC, exactly six decimals.
const TimeLayout = "2006-01-02T15:04:05.000000Z"

// canonical is the event in canonical JSON (RFC 8785), without pos, which never leaves the service, and without chain_hash.
func (e AuditEvent) canonical() []byte { return e.canonicalWith("") }

// canonicalWith is the event in canonical JSON with a chain_hash, unless that is empty.
func (e AuditEvent) canonicalWith(chainHash string) []byte {
	return e.seal(chainHash).text(e.PrevChainHash, e.Seq)
}

// canonicalJSON writes a value in canonical JSON (RFC 8785).
func canonicalJSON(v any) []byte {
	text, err := json.Marshal(v)
	if err == nil {
		err = (*jsontext.Value)(&text).Canonicalize()
	}
	if err != nil { // strings that are not UTF-8, which the edge refuses
		panic(err)
	}
	return text
}

// retracedHash is the hash that Retraced gives an event: over id, action, target, actor, group, address and the two flags, then
// the fields, and the external id and metadata if there are any.
func (e AuditEvent) retracedHash() string {
	group := ""
	if e.GroupID != uuid.Nil {
		group = e.GroupID.String()
	}
	return sum([]byte(retracedText(e.ID.String(), group, e)))
}

// retracedText is what retracedHash hashes. The ids are apart from the event because Retraced's may be any text.
func retracedText(id, group string, e AuditEvent) string {
	var b strings.Builder
	for _, part := range []string{id, e.Action, e.Target.ID, e.Actor.ID, group, e.SourceIP, flag(e.IsFailure), flag(e.IsAnonymous)} {
		b.WriteString(escapePart(part) + ":")
	}
	if e.Fields == nil {
		b.WriteString(":")
	}
	b.WriteString(pairs(e.Fields))
	if e.ExternalID != "" {
		b.WriteString(":" + escapePart(e.ExternalID))
	}
	if len(e.Metadata) > 0 {
		b.WriteString(":" + pairs(e.Metadata))
	}
	return b.String()
}

func pairs(m map[string]string) string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(m)) {
		b.WriteString(escapePair(key) + "=" + escapePair(m[key]) + ";")
	}
	return b.String()
}

// A Replacer goes over a text once, so the percent signs that it writes are not escaped again.
var (
	escapePart = strings.NewReplacer("%", "%25", ":", "%3A").Replace
	escapePair = strings.NewReplacer("%", "%25", ":", "%3A", "=", "%3D", ";", "%3B").Replace
)

func flag(set bool) string {
	if set {
		return "1"
	}
	return "0"
}

// sum is the SHA-256 of a text, in hex.
func sum(text []byte) string {
	digest := sha256.Sum256(text)
	return hex.EncodeToString(digest[:])
}

// FormatTime writes a time as it leaves the service.
func FormatTime(t time.Time) string { return t.UTC().Format(TimeLayout) }
