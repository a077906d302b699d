package web

import (
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/violation"
)

// Request is one request as a handler sees it.
type Request struct {
	*http.Request
	Ctx     context.Context // ends at the request's deadline; the context of a change does not end with the client
	Query   *Query
	Body    []byte // one byte more than MaxBody if it is too long
	MaxBody int
}

// ReadBody reads what the client sends, at its own pace: the server's read timeout bounds that. A longer body is cut to
// limit + 1 bytes.
func ReadBody(r *http.Request, limit int) ([]byte, error) {
	var text []byte
	var err error
	if n := r.ContentLength; n >= 0 && n <= int64(limit) { // net/http holds the client to it
		text = make([]byte, n)
		_, err = io.ReadFull(r.Body, text)
	} else {
		text, err = io.ReadAll(io.LimitReader(r.Body, int64(limit)+1))
	}
	if err != nil {
		return nil, NewProblem(CodeMalformedBody, "The body ended before it was complete, or took too long.")
	}
	return text, nil
}

// LeaveBody ends the connection with the answer if a body is large that was not read: net/http would read what it can
// of it, at the cost of what the refusal is to save.
func LeaveBody(w http.ResponseWriter, size int64) {
	const small = 16 << 10
	if size > small {
		w.Header()["Connection"] = closing
	}
}

// BodySize is how many bytes ReadBody may read: as many as the client announces, or the limit.
func BodySize(r *http.Request, limit int) int64 {
	if r.ContentLength >= 0 && r.ContentLength <= int64(limit) {
		return r.ContentLength
	}
	return int64(limit)
}

// PathID is the UUID in the path's {id}.
func (r *Request) PathID() (uuid.UUID, error) {
	id, ok := ParseUUID(r.PathValue("id"))
	if !ok {
		return id, Invalid(violation.Violation{Parameter: "id", Message: violation.UUID})
	}
	return id, nil
}

// Accepts reports whether the caller names a media type among those that it accepts.
func Accepts(h http.Header, mediaType string) bool {
	for _, header := range h["Accept"] {
		for element := range strings.SplitSeq(header, ",") {
			named, params, err := mime.ParseMediaType(element)
			weight, weighted := params["q"]
			if err == nil && named == mediaType && !(weighted && strings.Trim(weight, "0.") == "") {
				return true
			}
		}
	}
	return false
}

// NoBody refuses a body where the route takes none.
func (r *Request) NoBody() error {
	if len(r.Body) > 0 {
		return Invalid(violation.Violation{Message: violation.NoBody})
	}
	return nil
}

// WantsFresh reports whether the caller refuses cached answers. Pragma does not say so: net/http makes a Cache-Control
// of it where there is none, so beside Pragma no-cache alone is not taken for the caller's. Clients send Pragma by
// themselves, such as JavaScript's fetch with If-None-Match.
func WantsFresh(h http.Header) bool {
	if pragma := h["Pragma"]; len(pragma) > 0 && pragma[0] == "no-cache" &&
		slices.Equal(h["Cache-Control"], []string{"no-cache"}) {
		return false
	}
	for _, header := range h["Cache-Control"] {
		for directive := range strings.SplitSeq(header, ",") {
			switch strings.ToLower(strings.TrimSpace(directive)) {
			case "no-cache", "max-age=0":
				return true
			}
		}
	}
	return false
}

// ParseUUID reads the one form of a UUID that the API writes: 36 characters in lower or upper case, with dashes.
func ParseUUID(s string) (uuid.UUID, bool) {
	if len(s) != 36 {
		return uuid.Nil, false
	}
	id, err := uuid.Parse(s)
	return id, err == nil
}

// checkContentType checks what the headers say of a body. A PATCH may say that it is a merge patch (RFC 7396), which it
// is.
func checkContentType(method string, h http.Header) error {
	if given := h["Content-Type"]; len(given) == 1 && given[0] == "application/json" &&
		len(h["Content-Encoding"]) == 0 {
		return nil
	}
	unsupported := func(detail string) error { return NewProblem(CodeUnsupportedMediaType, detail) }
	media, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	charset := params["charset"]
	accepted := []string{"application/json"}
	if method == http.MethodPatch {
		accepted = append(accepted, "application/merge-patch+json")
	}
	switch {
	case err != nil || !slices.Contains(accepted, media) || len(h.Values("Content-Type")) > 1:
		return unsupported("The body must be " + strings.Join(accepted, " or ") + ".")
	case charset != "" && !strings.EqualFold(charset, "utf-8"):
		return unsupported("The body must be in UTF-8.")
	case strings.Join(h.Values("Content-Encoding"), "") != "":
		return unsupported("The body must not be compressed.")
	}
	return nil
}

// bodyTooLarge is the problem of a body of more than limit bytes.
func bodyTooLarge(limit int) error {
	return NewProblem(CodeBodyTooLarge, fmt.Sprintf("The body has more than %d bytes.", limit))
}
