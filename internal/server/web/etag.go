package web

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// ETag is the entity tag of an object in a version. It holds the id, because a name such as a slug may pass to another
// object of equal version.
func ETag(id uuid.UUID, version int64) string {
	b := appendUUID(append(make([]byte, 0, 64), '"'), id)
	b = strconv.AppendInt(append(b, '-'), version, 10)
	return string(append(b, '"'))
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

// IfMatch lists the versions of an object that If-Match names, by the strong comparison of RFC 9110; nil if every
// version matches.
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
		text, ok := strings.CutPrefix(strings.Trim(tag, `"`), id.String()+"-")
		version, err := strconv.ParseInt(text, 10, 64)
		if ok && err == nil && tag == ETag(id, version) {
			versions = append(versions, version)
		}
	}
	return versions
}
