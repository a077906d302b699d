package memory

import (
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/timestamp"
)

var errText = errors.New("memory: a text holds NUL or is not UTF-8")

// broken names the rule of a table that a row breaks. Such a row is a fault of the program: the domain lets none
// through.
func broken(rule string) error { return fmt.Errorf("memory: a row breaks the check %s", rule) }

// texts are checked before they are stored or searched for.
type texts []string

func (t texts) and(m map[string]string) texts {
	for key, value := range m {
		t = append(t, key, value)
	}
	return t
}

func (t texts) andLimits(l registry.Limits) texts {
	for name := range l {
		t = append(t, name)
	}
	return t
}

// andJSON adds the texts of a value that came from JSON, whose decoder bounds the depth.
func (t texts) andJSON(v any) texts {
	switch v := v.(type) {
	case string:
		return append(t, v)
	case []any:
		for _, item := range v {
			t = t.andJSON(item)
		}
	case map[string]any:
		for name, item := range v {
			t = append(t, name).andJSON(item)
		}
	}
	return t
}

func (t texts) check() error {
	for _, s := range t {
		if strings.ContainsRune(s, 0) || !utf8.ValidString(s) {
			return errText
		}
	}
	return nil
}

// micros brings times to what a column holds: UTC, whole microseconds.
func micros(times ...*time.Time) {
	for _, t := range times {
		if t != nil {
			*t = timestamp.Truncate(*t)
		}
	}
}

func isHash(s string) bool {
	digest, err := hex.DecodeString(s)
	return err == nil && len(digest) == 32
}

func copyOf[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}

func copyStrings(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return maps.Clone(m)
}

func copyLimits(l registry.Limits) registry.Limits {
	limits := make(registry.Limits, len(l))
	for name, value := range l {
		limits[name] = copyOf(value)
	}
	return limits
}

// parsed is a configuration as its JSON text is parsed, which is what a database gives back: all numbers are float64.
func parsed(c registry.Config) (registry.Config, error) {
	text, err := json.Marshal(c, json.FormatNilSliceAsNull(true), json.FormatNilMapAsNull(true))
	if err != nil {
		return nil, fmt.Errorf("memory: a configuration is no JSON: %w", err)
	}
	config := registry.Config{}
	if err := json.Unmarshal(text, &config); err != nil {
		return nil, fmt.Errorf("memory: a configuration is no JSON: %w", err)
	}
	if config == nil {
		config = registry.Config{}
	}
	if levels(map[string]any(config)) > maxLevels {
		return nil, broken("config levels")
	}
	return config, texts{}.andJSON(map[string]any(config)).check()
}

// maxLevels is how many objects and arrays a value of a configuration may be in.
const maxLevels = 32

// levels is how many objects and arrays the innermost value is in.
func levels(v any) int {
	deepest := -1
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			deepest = max(deepest, levels(item))
		}
	case map[string]any:
		for _, item := range v {
			deepest = max(deepest, levels(item))
		}
	}
	return deepest + 1
}

func copyConfig(c registry.Config) registry.Config {
	return registry.Config(copyJSON(map[string]any(c)).(map[string]any))
}

// copyJSON copies a value that came from JSON, whose decoder bounds the depth.
func copyJSON(v any) any {
	switch v := v.(type) {
	case []any:
		items := make([]any, len(v))
		for i, item := range v {
			items[i] = copyJSON(item)
		}
		return items
	case map[string]any:
		members := make(map[string]any, len(v))
		for name, item := range v {
			members[name] = copyJSON(item)
		}
		return members
	}
	return v
}
