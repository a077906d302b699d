package web

import (
	"reflect"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/breakpilot/tenant-registry/internal/violation"
)

// Member is a member of a JSON merge patch (RFC 7396) that null cannot remove. The zero Member is absent.
type Member[T any] struct {
	Present bool
	Null    bool // always false
	Value   T
}

// UnmarshalJSONFrom reads a T, and refuses null.
func (m *Member[T]) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() == 'n' {
		if err := d.SkipValue(); err != nil {
			return err
		}
		return valueError(violation.Type(typeName(reflect.TypeFor[T]())))
	}
	m.Present = true
	return json.UnmarshalDecode(d, &m.Value)
}

// Removable is a member of a JSON merge patch that null removes, and an empty text as well. The zero Removable is
// absent.
type Removable[T any] struct {
	Present bool
	Null    bool
	Value   T
}

// UnmarshalJSONFrom reads a T or null.
func (m *Removable[T]) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	m.Present = true
	if m.Null = d.PeekKind() == 'n'; m.Null {
		return d.SkipValue()
	}
	err := json.UnmarshalDecode(d, &m.Value)
	m.Null = err == nil && isUnset(m.Value)
	return err
}
