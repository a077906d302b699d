package postgres

import (
	"database/sql/driver"
	"errors"
	"math/big"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
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

// parse reads a jsonb column: NULL is nil, and a number in an any is a float64, or its text if that has more digits.
func parse[M any](text []byte) (M, error) {
	var value M
	if text == nil {
		return value, nil
	}
	err := json.Unmarshal(text, &value, exactNumbers)
	return value, err
}

var exactNumbers = json.WithUnmarshalers(json.UnmarshalFromFunc(func(d *jsontext.Decoder, into *any) error {
	if d.PeekKind() != '0' {
		return errors.ErrUnsupported // which leaves it to the package
	}
	text, err := d.ReadValue()
	if err != nil {
		return err
	}
	if number, exact := exactFloat(string(text)); exact {
		*into = number
	} else {
		*into = text.Clone()
	}
	return nil
}))

// exactFloat reports whether the shortest text of a float64 is the number in text.
func exactFloat(text string) (float64, bool) {
	number, err := strconv.ParseFloat(text, 64)
	if err != nil { // too large for one
		return 0, false
	}
	given, _ := new(big.Rat).SetString(text)
	shown, _ := new(big.Rat).SetString(strconv.FormatFloat(number, 'g', -1, 64))
	return number, given != nil && shown != nil && given.Cmp(shown) == 0
}
