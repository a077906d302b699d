package web

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/breakpilot/tenant-registry/internal/violation"
)

// maxDepth bounds the nesting of a body.
const maxDepth = 32

// Decode reads the body, which must be one JSON object with no unknown member, no duplicate member, no NUL, and no
// trailing data. What it says of a fault names the member and never the value.
func (r *Request) Decode(into any) error {
	if err := checkContentType(r.Method, r.Header); err != nil {
		return err
	}
	if len(r.Body) > r.MaxBody {
		return bodyTooLarge(r.MaxBody)
	}
	if p, ok := into.(PlainDecoder); ok && p.DecodePlain(string(r.Body)) {
		return nil
	}
	if err := scan(r.Body); err != nil {
		return err
	}
	if err := json.Unmarshal(r.Body, into, json.RejectUnknownMembers(true)); err != nil {
		return bodyFault(err)
	}
	return nil
}

// scan checks what holds for every body whatever its members.
func scan(text []byte) error {
	d := jsontext.NewDecoder(bytes.NewReader(text))
	if d.PeekKind() != '{' {
		return malformed("The body must be a JSON object.", violation.Violation{Message: violation.JSONObject})
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
			return malformed(fmt.Sprintf("The body has more than %d levels.", maxDepth),
				violation.Violation{Pointer: pointer(d.StackPointer()), Message: violation.TooDeep})
		}
		if token.Kind() == '"' && strings.ContainsRune(token.String(), 0) {
			return Invalid(violation.Violation{Pointer: pointer(d.StackPointer()), Message: violation.NoNUL})
		}
		if d.StackDepth() == 0 && len(bytes.TrimSpace(text[d.InputOffset():])) > 0 {
			return malformed("The body has trailing data.", violation.Violation{Message: violation.TrailingData})
		}
	}
}

func malformed(detail string, v ...violation.Violation) *Problem {
	return NewProblem(CodeMalformedBody, detail, v...)
}

// bodyFault says what is wrong with a body, in our own words: the library's may hold what was sent.
func bodyFault(err error) error {
	var syntax *jsontext.SyntacticError
	var semantic *json.SemanticError
	var ours valueError
	switch {
	case errors.As(err, &ours) && errors.As(err, &semantic):
		return Invalid(violation.Violation{Pointer: pointer(semantic.JSONPointer), Message: string(ours)})
	case errors.Is(err, json.ErrUnknownName) && errors.As(err, &semantic):
		return Invalid(violation.Violation{
			Pointer: pointer(semantic.JSONPointer), Message: violation.UnknownMember(memberNames(semantic.GoType)),
		})
	case errors.As(err, &semantic):
		return Invalid(violation.Violation{
			Pointer: pointer(semantic.JSONPointer), Message: violation.Type(typeName(semantic.GoType)),
		})
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &syntax):
		return malformed("The body has a duplicate member.",
			violation.Violation{Pointer: pointer(syntax.JSONPointer), Message: violation.Duplicate})
	case errors.As(err, &syntax):
		return malformed(fmt.Sprintf("The body is not valid JSON, or not valid UTF-8, at byte %d.", syntax.ByteOffset),
			violation.Violation{Pointer: pointer(syntax.JSONPointer), Message: violation.ValidJSON})
	}
	return malformed("The body is not valid JSON.")
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

// memberNames lists the JSON names of a struct.
func memberNames(t reflect.Type) string {
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
