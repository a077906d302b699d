package config

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/breakpilot/tenant-registry/internal/dsn"
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

// ReadSecret reads a secret from a file: all of it but the line feeds at its end.
func ReadSecret(path string) (Secret, error) {
	text, err := os.ReadFile(path)
	return Secret(strings.TrimRight(string(text), "\r\n")), err
}

// secret is a variable or the content of the file that the variable with _FILE after its name has, and that file.
func (r *reader) secret(name string) (value Secret, file string) {
	value, file = Secret(strings.TrimRight(r.getenv(name), "\r\n")), r.getenv(name+"_FILE")
	if file == "" {
		return value, ""
	}
	if value.Set() {
		r.fault(name, "must not be set together with %s_FILE", name)
	}
	value, err := ReadSecret(file)
	if err != nil {
		r.fault(name+"_FILE", "cannot be read: %v", err)
	}
	return value, file
}

// dsn is a secret that is a DSN.
func (r *reader) dsn(name string) (value Secret, file string) {
	value, file = r.secret(name)
	text := value.Reveal()
	if text != "" && !strings.HasPrefix(text, "postgres://") && !strings.HasPrefix(text, "postgresql://") &&
		!strings.Contains(text, "=") {
		r.fault(name, "must be a Postgres DSN, such as postgres://user:password@host:5432/database")
	}
	if _, err := dsn.Parse(text); errors.Is(err, dsn.ErrCharset) {
		r.fault(name, "%v", dsn.ErrCharset)
	}
	return value, file
}

// secureDSN refuses a DSN whose connections are not verified.
func (r *reader) secureDSN(name string, value Secret) {
	if !value.Set() {
		return
	}
	if err := dsn.Secure(value.Reveal()); err != nil {
		r.fault(name, "%v, or set DB_TLS=insecure", err)
	}
}
