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

// checks collects every violation of one command, so that a caller mends them in one go.
type checks struct{ found []Violation }

func (c *checks) add(pointer, format string, args ...any) {
	c.found = append(c.found, Violation{Pointer: pointer, Message: fmt.Sprintf(format, args...)})
}

func (c *checks) err() error {
	if len(c.found) == 0 {
		return nil
	}
	return invalidMembers(c.found...)
}

func invalidMembers(found ...Violation) *Error {
	return &Error{Kind: Invalid, Code: CodeInvalid, Detail: "The request breaks a rule; errors says which.", Violations: found}
}

// line checks a text of one line that people read: not blank, no control, bidirectional or zero-width characters.
func (c *checks) line(pointer, s string, max int) {
	switch {
	case s == "":
		c.add(pointer, "is required")
	case strings.TrimSpace(s) == "":
		c.add(pointer, "must not be blank")
	case utf8.RuneCountInString(s) > max:
		c.add(pointer, "must have at most %d characters", max)
	case !utf8.ValidString(s):
		c.add(pointer, "must be valid UTF-8")
	case strings.ContainsFunc(s, unreadable):
		c.add(pointer, "must not hold control, bidirectional or zero-width characters")
	case holdsKey(s):
		c.add(pointer, noKey)
	}
}

// keyPattern finds the text of a key, which somebody pasted, in another text: it would be kept there for ever.
var keyPattern = regexp.MustCompile(`bp_(?:live|test)_[0-9A-Za-z]{49}`)

const noKey = "must not hold an API key"

func holdsKey(s string) bool { return strings.Contains(s, "bp_") && keyPattern.MatchString(s) }

// optionalLine is line for a member that may be left out.
func (c *checks) optionalLine(pointer, s string, max int) {
	if s != "" {
		c.line(pointer, s, max)
	}
}

// text checks a longer text that may hold line breaks, tabs, and the joiners that some scripts and emoji are written with.
func (c *checks) text(pointer, s string, max int) {
	switch {
	case utf8.RuneCountInString(s) > max:
		c.add(pointer, "must have at most %d characters", max)
	case !utf8.ValidString(s):
		c.add(pointer, "must be valid UTF-8")
	case strings.ContainsFunc(s, func(r rune) bool { return !strings.ContainsRune(textOnly, r) && unreadable(r) }):
		c.add(pointer, "must not hold control, bidirectional or zero-width characters")
	case holdsKey(s):
		c.add(pointer, noKey)
	}
}

// textOnly are the characters that a longer text may hold and a line may not.
const textOnly = "\n\r\t\u200c\u200d"

// unreadable runes show nothing, or show other text than the one that is there.
func unreadable(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029'
}

func (c *checks) metadata(pointer string, m map[string]string) {
	c.stringMap(pointer, m, mapLimits{MaxMetadata, maxMetadataKey, maxMetadataValue})
}

type mapLimits struct{ entries, key, value int }

func (c *checks) stringMap(pointer string, m map[string]string, max mapLimits) {
	if len(m) > max.entries {
		c.add(pointer, "must have at most %d entries", max.entries)
		return
	}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		at := func() string { return pointer + "/" + escapePointer(key) }
		if key == "" || utf8.RuneCountInString(key) > max.key || !utf8.ValidString(key) || strings.ContainsFunc(key, unreadable) {
			c.add(at(), "must have a name of 1 to %d visible characters", max.key)
		}
		if utf8.RuneCountInString(m[key]) > max.value {
			c.add(at(), "must have at most %d characters", max.value)
		} else if !utf8.ValidString(m[key]) || strings.ContainsRune(m[key], 0) {
			c.add(at(), "must be valid UTF-8 without NUL")
		} else if holdsKey(m[key]) {
			c.add(at(), noKey)
		}
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
		c.add(pointer, "must be a JSON object")
	case len(text) > maxObject:
		c.add(pointer, "must be at most %d bytes of JSON", maxObject)
	}
	return normal
}

// validScope and plainName are asked on every verification: an expression would take most of its time.
func validScope(s string) bool { return len(s) <= 64 && plainName(s, ":._-") }

// plainName tells whether a text is of small letters, digits and, behind the first character, some others.
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
		c.add(pointer, "must have at most %d entries", MaxScopes)
		return
	}
	for i, scope := range scopes {
		if !validScope(scope) {
			c.add(element(pointer, i), "must be 1 to 64 of a-z, 0-9, ':', '.', '_' and '-', beginning with a letter or digit")
		} else if slices.Contains(scopes[:i], scope) {
			c.add(element(pointer, i), "must not be there twice")
		}
	}
}

func element(pointer string, i int) string { return fmt.Sprintf("%s/%d", pointer, i) }

func (c *checks) environment(pointer string, env Environment) {
	if env != Live && env != Test {
		c.add(pointer, "must be one of live, test")
	}
}

func (c *checks) productKey(pointer, key string) {
	switch {
	case key == "":
		c.add(pointer, "is required")
	case !validProductKey(key):
		c.add(pointer, "must be the key of a product: 2 to 63 of a-z, 0-9 and '-', beginning with a letter or digit")
	}
}
