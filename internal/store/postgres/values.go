package postgres

import (
	"database/sql/driver"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
)

// In the domain an empty text and the nil UUID are unset; in a nullable column that is NULL.

func textOrNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func idOrNull(id uuid.UUID) *uuid.UUID {
	if id == uuid.Nil {
		return nil
	}
	return &id
}

// jsonDocument is a value for a jsonb column. A text in it that is not UTF-8 is an error, and nothing is sent.
type jsonDocument struct{ value any }

// Value implements driver.Valuer.
func (d jsonDocument) Value() (driver.Value, error) {
	text, err := json.Marshal(d.value)
	return string(text), err
}

// fieldsOrNull stores a map that is absent as NULL, and one that is empty as {}.
func fieldsOrNull(m map[string]string) (*string, error) {
	if m == nil {
		return nil, nil
	}
	text, err := json.Marshal(m)
	return textOrNull(string(text)), err
}

// parse reads a jsonb column: NULL is nil, and all numbers in an any are float64.
func parse[M any](text []byte) (M, error) {
	var value M
	if text == nil {
		return value, nil
	}
	err := json.Unmarshal(text, &value)
	return value, err
}
