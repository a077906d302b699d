package web

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// Entity is the object that an answer shows, in a version.
type Entity struct {
	ID      uuid.UUID
	Version int64
}

// tagHash is how many bytes of an answer's SHA-256 are in its entity tag.
const tagHash = 4

// ETag is the entity tag of an answer: the object's id, because a name such as a slug may pass to another object of
// equal version; its version; and the beginning of the hash of what is shown, because SQL and the clock change that
// without a version.
func (e Entity) ETag(shown []byte) string {
	hash := sha256.Sum256(shown)
	b := appendUUID(append(make([]byte, 0, 72), '"'), e.ID)
	b = strconv.AppendInt(append(b, '-'), e.Version, 10)
	b = hex.AppendEncode(append(b, '-'), hash[:tagHash])
	return string(append(b, '"'))
}

// versionIn is the version in an entity tag of an object.
func versionIn(tag string, id uuid.UUID) (int64, bool) {
	text, opened := strings.CutPrefix(tag, `"`+id.String()+"-")
	text, closed := strings.CutSuffix(text, `"`)
	number, hash, hashed := strings.Cut(text, "-")
	version, err := strconv.ParseInt(number, 10, 64)
	known := opened && closed && hashed && len(hash) == 2*tagHash && err == nil
	return version, known && strconv.FormatInt(version, 10) == number
}

// matchesETag reports whether an If-None-Match names this entity tag, by the weak comparison of RFC 9110.
func matchesETag(given []string, etag string) bool {
	for _, header := range given {
		if header == etag {
			return true
		}
		for tag := range strings.SplitSeq(header, ",") {
			tag = strings.TrimSpace(tag)
			if tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
				return true
			}
		}
	}
	return false
}

// IfMatch lists the versions of an object that If-Match names, by the strong comparison of RFC 9110 of id and version:
// what the clock or SQL changed since does not refuse a change. nil if every version matches.
func IfMatch(h http.Header, id uuid.UUID) []int64 {
	given, present := h["If-Match"]
	if !present {
		return nil
	}
	versions := []int64{}
	for tag := range strings.SplitSeq(strings.Join(given, ","), ",") {
		tag = strings.TrimSpace(tag)
		if tag == "*" {
			return nil
		}
		if version, ok := versionIn(tag, id); ok {
			versions = append(versions, version)
		}
	}
	return versions
}
