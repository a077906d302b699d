package web

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"strings"
)

// A cursor is base64url of: the CRC-32 of the rest, a version, the list it belongs to, and a position in it. The list
// names route, order and scope, so that a cursor of another list is refused. It is no secret and grants nothing: rights
// are checked anew on every page.
const cursorVersion = "1"

var cursorEncoding = base64.RawURLEncoding.Strict()

// SealCursor makes the cursor of a position in a list. The name of a list holds no NUL.
func SealCursor(list, position string) string {
	rest := strings.Join([]string{cursorVersion, list, position}, "\x00")
	raw := binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(rest)))
	return cursorEncoding.EncodeToString(append(raw, rest...))
}

// OpenCursor returns the position; false if the cursor was not made for this list or not by this version.
func OpenCursor(cursor, list string) (string, bool) {
	raw, err := cursorEncoding.DecodeString(cursor) // which skips line breaks
	if err != nil || len(raw) < crc32.Size || len(cursor) > 1024 || strings.ContainsAny(cursor, "\r\n") {
		return "", false
	}
	rest := raw[crc32.Size:]
	if binary.BigEndian.Uint32(raw) != crc32.ChecksumIEEE(rest) {
		return "", false
	}
	parts := strings.SplitN(string(rest), "\x00", 3)
	if len(parts) != 3 || parts[0] != cursorVersion || parts[1] != list {
		return "", false
	}
	return parts[2], true
}

// Page is a page of a list as it is answered.
type Page[T any] struct {
	Items      []T     `json:"items"`
	NextCursor *string `json:"next_cursor"` // null at the end
}
