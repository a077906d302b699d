package config

import (
	"fmt"
	"log/slog"
)

// Secret is a text that shows itself nowhere: not in a log, a format verb of any kind or JSON. Reveal is the one way to
// it.
type Secret string

const redacted = "[redacted]"

// Reveal returns the text.
func (s Secret) Reveal() string { return string(s) }

// Set reports whether there is one.
func (s Secret) Set() bool { return s != "" }

// String hides the text.
func (s Secret) String() string { return redacted }

// Format hides the text from every verb, %x and %#v among them.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue hides the text from slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText hides the text from JSON and the like.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
