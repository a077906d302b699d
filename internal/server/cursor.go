package server

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"strings"
)

// A cursor is base64url of: the CRC-32 of the rest, a version, the list it belongs to, and a position in it. The list names route,
// order and scope, so that a cursor of another list is told from one's own. It is no secret and grants nothing: whoever
// presents it is asked for their rights anew.
const cursorVersion = "1"

var cursorEncoding = base64.RawURLEncoding.Strict()

// sealCursor makes the cursor of a position in a list. A list holds no NUL.
func sealCursor(list, position string) string {
	rest := strings.Join([]string{cursorVersion, list, position}, "\x00")
	raw := binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(rest)))
	return cursorEncoding.EncodeToString(append(raw, rest...))
}

// openCursor returns the position, or false if the cursor was not made for this list or not by this version.
func openCursor(cursor, list string) (string, bool) {
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

// page is how every list is answered; NextCursor is null at the end.
type page[T any] struct {
	Items      []T     `json:"items"`
	NextCursor *string `json:"next_cursor"`
}

// pageOf makes a page whose cursor, if there is more, stands behind the last item.
func pageOf[T any](items []T, list string, more bool, position func(T) string) page[T] {
	p := page[T]{Items: items}
	if more && len(items) > 0 {
		next := sealCursor(list, position(items[len(items)-1]))
		p.NextCursor = &next
	}
	return p
}
