package registry

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"github.com/breakpilot/tenant-registry/internal/apikey"
	"github.com/breakpilot/tenant-registry/internal/violation"
)

// Sizes of what callers may send, in characters unless it says bytes.
const (
	MaxName     = 200
	MaxText     = 2000 // message, description, reason, href
	MaxID       = 200  // external ids, actor and target ids, action
	MaxScopes   = 32
	MaxFields   = 64
	MaxMetadata = 32

	maxMetadataKey   = 64
	maxMetadataValue = 256
	maxObject        = 2048 // bytes of limits, and of config
)

// jwt matches a token of three parts (RFC 7519), the first two of them JSON objects.
var jwt = regexp.MustCompile(`eyJ[A-Za-z0-9_-]+\.eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*`)

// HoldsCredential reports whether a text holds the text of an API key or a JWT. Neither is ever stored or logged.
func HoldsCredential(text string) bool {
	return apikey.Contains(text) || strings.Contains(text, "eyJ") && jwt.MatchString(text)
}

// checks collects every violation of one command, so that a caller can fix them in one go.
type checks struct{ found []violation.Violation }

func (c *checks) add(pointer, message string) {
	c.found = append(c.found, violation.Violation{Pointer: pointer, Message: message})
}

func (c *checks) err() error {
	if len(c.found) == 0 {
		return nil
	}
	return invalidMembers(c.found...)
}

// parameterErr is err for checks whose pointers are names of parameters.
func (c *checks) parameterErr() error {
	for i, v := range c.found {
		c.found[i] = violation.Violation{Parameter: v.Pointer, Message: v.Message}
	}
	return c.err()
}

// invalidParameter refuses one parameter.
func invalidParameter(name, message string) *Error {
	return invalidMembers(violation.Violation{Parameter: name, Message: message})
}

func invalidMembers(found ...violation.Violation) *Error {
	return &Error{
		Kind: Invalid, Code: CodeInvalid, Detail: "The request breaks a rule; errors says which.", Violations: found,
	}
}

// line checks a text of one line that people read: not blank, no control, bidirectional or zero-width characters.
func (c *checks) line(pointer, s string, max int) {
	switch {
	case s == "":
		c.add(pointer, violation.Required)
	case strings.TrimSpace(s) == "":
		c.add(pointer, violation.NotBlank)
	case utf8.RuneCountInString(s) > max:
		c.add(pointer, violation.AtMost(max, "characters"))
	case !utf8.ValidString(s):
		c.add(pointer, violation.ValidUTF8)
	case strings.ContainsFunc(s, unreadable):
		c.add(pointer, violation.Readable)
	case HoldsCredential(s):
		c.add(pointer, violation.NoCredential)
	}
}

// optionalLine is line for a member that may be left out.
func (c *checks) optionalLine(pointer, s string, max int) {
	if s != "" {
		c.line(pointer, s, max)
	}
}

// text checks a longer text that may hold line breaks, tabs, and the joiners that some scripts and emoji are written
// with.
func (c *checks) text(pointer, s string, max int) {
	switch {
	case utf8.RuneCountInString(s) > max:
		c.add(pointer, violation.AtMost(max, "characters"))
	case !utf8.ValidString(s):
		c.add(pointer, violation.ValidUTF8)
	case strings.ContainsFunc(s, func(r rune) bool { return unreadable(r) && !strings.ContainsRune(textOnly, r) }):
		c.add(pointer, violation.Readable)
	case HoldsCredential(s):
		c.add(pointer, violation.NoCredential)
	}
}

// textOnly are the characters that a longer text may hold and a line may not.
const textOnly = "\n\r\t\u200c\u200d"

// unreadable runes show nothing, or show other text than the one that is there.
func unreadable(r rune) bool {
	if r < utf8.RuneSelf { // most are, and their category is not looked up
		return r < ' ' || r == 0x7f
	}
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029'
}

func (c *checks) metadata(pointer string, m map[string]string) {
	c.stringMap(pointer, m, mapLimits{MaxMetadata, maxMetadataKey, maxMetadataValue})
}

type mapLimits struct{ entries, key, value int }

func (c *checks) stringMap(pointer string, m map[string]string, max mapLimits) {
	if len(m) > max.entries {
		c.add(pointer, violation.AtMost(max.entries, "entries"))
		return
	}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if HoldsCredential(key) { // and the name is not repeated
			c.add(pointer, violation.NoCredential)
			continue
		}
		at := pointer + "/" + escapePointer(key)
		if key == "" || utf8.RuneCountInString(key) > max.key || !utf8.ValidString(key) ||
			strings.ContainsFunc(key, unreadable) {
			c.add(at, violation.Name(max.key))
		}
		c.text(at, m[key], max.value)
	}
}

// escapePointer writes a member name as a reference token of RFC 6901, cut to 64 characters and always valid UTF-8.
func escapePointer(name string) string {
	name = strings.ToValidUTF8(name, "\uFFFD")
	if runes := []rune(name); len(runes) > 64 {
		name = string(runes[:64]) + "…"
	}
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

// normalObject returns a JSON object as any store reads it back: never nil, its numbers without a Go type of their own.
func normalObject[M ~map[string]V, V any](c *checks, pointer string, object M) M {
	normal := M{}
	text, err := json.Marshal(object)
	if err == nil {
		err = json.Unmarshal(text, &normal)
	}
	switch {
	case err != nil:
		c.add(pointer, violation.JSONObject)
	case len(text) > maxObject:
		c.add(pointer, violation.JSONBytes(maxObject))
	case HoldsCredential(string(text)):
		c.add(pointer, violation.NoCredential)
	}
	return normal
}

// validScope and plainName are asked on every verification: an expression would take most of its time.
func validScope(s string) bool { return len(s) <= 64 && plainName(s, ":._-") }

// plainName reports whether a text is of small letters, digits and, after the first character, some others.
func plainName(s, others string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && (i == 0 || strings.IndexByte(others, c) < 0) {
			return false
		}
	}
	return s != ""
}

func (c *checks) scopes(pointer string, scopes []string) {
	if len(scopes) > MaxScopes {
		c.add(pointer, violation.AtMost(MaxScopes, "entries"))
		return
	}
	for i, scope := range scopes {
		if !validScope(scope) {
			c.add(element(pointer, i), violation.Scope)
		} else if HoldsCredential(scope) {
			c.add(element(pointer, i), violation.NoCredential)
		} else if slices.Contains(scopes[:i], scope) {
			c.add(element(pointer, i), violation.Duplicate)
		}
	}
}

func element(pointer string, i int) string { return fmt.Sprintf("%s/%d", pointer, i) }

func (c *checks) environment(pointer string, env apikey.Environment) {
	if env != apikey.Live && env != apikey.Test {
		c.add(pointer, violation.OneOf("live", "test"))
	}
}

func (c *checks) productKey(pointer, key string) {
	switch {
	case key == "":
		c.add(pointer, violation.Required)
	case !validProductKey(key):
		c.add(pointer, violation.ProductKey)
	}
}
