package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// What a body may be at most.
const (
	maxBody     = 64 << 10
	maxBulkBody = 2 << 20
	maxDepth    = 32
)

func (rt route) maxBody() int {
	if rt.has(bulky) {
		return maxBulkBody
	}
	return maxBody
}

// readBody takes what the client sends, at its own pace: the server's read timeout bounds that.
func readBody(r *http.Request, most int) ([]byte, error) {
	var text []byte
	var err error
	if n := r.ContentLength; n >= 0 && n <= int64(most) { // net/http holds the client to it
		text = make([]byte, n)
		_, err = io.ReadFull(r.Body, text)
	} else {
		text, err = io.ReadAll(io.LimitReader(r.Body, int64(most)+1))
	}
	if err != nil {
		return nil, edgeProblem("malformed_body", "The body ended before it was complete, or took too long.")
	}
	return text, nil
}

// decode reads the body, which must be one JSON object with no member that into does not have, no member twice, no NUL, and
// nothing behind it. What it says of a fault names the member and never the value.
func (c *call) decode(into any) error {
	if err := jsonContent(c.r.Method, c.r.Header); err != nil {
		return err
	}
	if len(c.body) > c.maxBody {
		return edgeProblem("body_too_large", fmt.Sprintf("The body has more than %d bytes.", c.maxBody))
	}
	if p, ok := into.(plainReader); ok && p.readPlain(string(c.body)) {
		return nil
	}
	if err := scan(c.body); err != nil {
		return err
	}
	if err := json.Unmarshal(c.body, into, json.RejectUnknownMembers(true)); err != nil {
		return bodyFault(err)
	}
	return nil
}

// jsonContent checks what the headers say of the body. A PATCH may say that it is a merge patch (RFC 7396), which it is.
func jsonContent(method string, h http.Header) error {
	if given := h["Content-Type"]; len(given) == 1 && given[0] == "application/json" && len(h["Content-Encoding"]) == 0 {
		return nil
	}
	media, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	charset := params["charset"]
	switch {
	case err != nil || (media != "application/json" && (method != http.MethodPatch || media != "application/merge-patch+json")) ||
		len(h.Values("Content-Type")) > 1:
		return edgeProblem("unsupported_media_type", "The body must be application/json.")
	case charset != "" && !strings.EqualFold(charset, "utf-8"):
		return edgeProblem("unsupported_media_type", "The body must be in UTF-8.")
	case strings.Join(h.Values("Content-Encoding"), "") != "":
		return edgeProblem("unsupported_media_type", "The body must not be compressed.")
	}
	return nil
}

// scan checks what holds for every body whatever its members.
func scan(text []byte) error {
	d := jsontext.NewDecoder(bytes.NewReader(text))
	if d.PeekKind() != '{' {
		return edgeProblem("malformed_body", "The body must be a JSON object.", registry.Violation{Message: "must be an object"})
	}
	for {
		token, err := d.ReadToken()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return bodyFault(err)
		}
		if d.StackDepth() > maxDepth {
			return edgeProblem("malformed_body", fmt.Sprintf("The body has more than %d levels.", maxDepth),
				registry.Violation{Pointer: pointer(d.StackPointer()), Message: "is too deep"})
		}
		if token.Kind() == '"' && strings.ContainsRune(token.String(), 0) {
			return invalid(registry.Violation{Pointer: pointer(d.StackPointer()), Message: "must not hold the character NUL"})
		}
		if d.StackDepth() == 0 && len(bytes.TrimSpace(text[d.InputOffset():])) > 0 {
			return edgeProblem("malformed_body", "There is something behind the JSON object.",
				registry.Violation{Message: "must be one object and nothing else"})
		}
	}
}

// bodyFault says what is wrong with a body, in words of our own: the library's may hold what was sent.
func bodyFault(err error) error {
	var syntax *jsontext.SyntacticError
	var semantic *json.SemanticError
	var ours inputError
	switch {
	case errors.As(err, &ours) && errors.As(err, &semantic):
		return invalid(registry.Violation{Pointer: pointer(semantic.JSONPointer), Message: string(ours)})
	case errors.Is(err, json.ErrUnknownName) && errors.As(err, &semantic):
		return invalid(registry.Violation{Pointer: pointer(semantic.JSONPointer), Message: "is no member here; these are: " + members(semantic.GoType)})
	case errors.As(err, &semantic):
		return invalid(registry.Violation{Pointer: pointer(semantic.JSONPointer), Message: "must be " + typeName(semantic.GoType)})
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &syntax):
		return edgeProblem("malformed_body", "A member is there twice.",
			registry.Violation{Pointer: pointer(syntax.JSONPointer), Message: "must not be there twice"})
	case errors.As(err, &syntax):
		return edgeProblem("malformed_body", fmt.Sprintf("The body is not valid JSON, or not valid UTF-8, at byte %d.", syntax.ByteOffset),
			registry.Violation{Pointer: pointer(syntax.JSONPointer), Message: "must be valid JSON in UTF-8"})
	}
	return edgeProblem("malformed_body", "The body is not valid JSON.")
}

// pointer writes a JSON pointer with each name cut to 64 characters.
func pointer(p jsontext.Pointer) string {
	var b strings.Builder
	for token := range p.Tokens() {
		if runes := []rune(token); len(runes) > 64 {
			token = string(runes[:64]) + "…"
		}
		b.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(token))
	}
	return b.String()
}

// members lists the JSON names of a struct.
func members(t reflect.Type) string {
	if t == nil || t.Kind() != reflect.Struct {
		return "none"
	}
	var names []string
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

// typeName says what a Go type of our requests is in JSON.
func typeName(t reflect.Type) string {
	if t == nil {
		return "of another type"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeName(t.Elem())
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "an array of strings"
	case reflect.Map:
		return "an object of strings"
	case reflect.Struct:
		return "an object"
	}
	return "a string"
}

// inputError is a sentence about one member that holds nothing of its value.
type inputError string

func (e inputError) Error() string { return string(e) }

// wireText is a string where null is not the same as absent: in arrays and in objects of strings.
type wireText string

// UnmarshalJSONFrom reads a string and nothing else.
func (t *wireText) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	s, err := readString(d, "must be a string")
	*t = wireText(s)
	return err
}

// wireID is a UUID in its one form; null is absent.
type wireID struct {
	uuid.UUID
	given bool
}

// UnmarshalJSONFrom reads a UUID or null.
func (i *wireID) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() == 'n' {
		return d.SkipValue()
	}
	s, err := readString(d, idRule)
	if err != nil {
		return err
	}
	var ok bool
	if i.UUID, ok = parseID(s); !ok {
		return inputError(idRule)
	}
	i.given = true
	return nil
}

// wireTime is a time of RFC 3339; null is absent.
type wireTime struct{ *time.Time }

const timeRule = "must be a time of RFC 3339, such as 2026-01-31T12:00:00Z"

// timePattern is what time.Parse does not insist on: two digits everywhere, a point before fractions, an offset that there can be.
var timePattern = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

// UnmarshalJSONFrom reads a time or null.
func (m *wireTime) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() == 'n' {
		return d.SkipValue()
	}
	s, err := readString(d, timeRule)
	if err != nil {
		return err
	}
	at, ok := parseTime(s)
	if !ok {
		return inputError(timeRule)
	}
	m.Time = &at
	return nil
}

func parseTime(s string) (time.Time, bool) {
	at, err := time.Parse(time.RFC3339Nano, s)
	return at, err == nil && timePattern.MatchString(s)
}

func readString(d *jsontext.Decoder, rule string) (string, error) {
	if d.PeekKind() != '"' {
		if err := d.SkipValue(); err != nil {
			return "", err
		}
		return "", inputError(rule)
	}
	token, err := d.ReadToken()
	if err != nil {
		return "", err
	}
	return token.String(), nil
}

// textMap gives a decoded object of strings to the domain; nil stays nil.
func textMap(m map[string]wireText) map[string]string {
	if m == nil {
		return nil
	}
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[k] = string(v)
	}
	return out
}

func textList(l []wireText) []string {
	out := make([]string, len(l))
	for i, s := range l {
		out[i] = string(s)
	}
	return out
}
