package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// RetracedHash is the hash that Retraced's own client computes of an event, in hex: over id, action, target, actor,
// group, address and the two flags, then the fields, and the external id and metadata if they are there. So the address
// must be as the caller wrote it.
func (e Event) RetracedHash() string {
	group := e.SentGroupID
	if group == "" && e.GroupID != uuid.Nil {
		group = e.GroupID.String()
	}
	return sum([]byte(retracedText(e.ID.String(), group, e)))
}

// retracedText is what RetracedHash hashes. The ids are apart from the event because Retraced's may be any text.
func retracedText(id, group string, e Event) string {
	var b strings.Builder
	for _, part := range []string{
		id, e.Action, e.Target.ID, e.Actor.ID, group, e.SourceIP, flag(e.IsFailure), flag(e.IsAnonymous),
	} {
		b.WriteString(escapePart(part) + ":")
	}
	if e.Fields == nil {
		b.WriteString(":")
	}
	b.WriteString(pairs(e.Fields))
	if e.ExternalID != "" {
		b.WriteString(":" + escapePart(e.ExternalID))
	}
	if e.Metadata != nil {
		b.WriteString(":" + pairs(e.Metadata))
	}
	return b.String()
}

func pairs(m map[string]string) string {
	var b strings.Builder
	for _, key := range slices.SortedFunc(maps.Keys(m), compareUTF16) {
		b.WriteString(escapePair(key) + "=" + escapePair(m[key]) + ";")
	}
	return b.String()
}

// A Replacer makes one pass, so the percent signs that it writes are not escaped again.
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
