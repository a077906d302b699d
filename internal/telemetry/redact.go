package telemetry

import (
	"bytes"
	"regexp"
	"slices"

	"github.com/exaring/otelpgx"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// secrets matches an API key, a JSON web token and the password of a URL. mayContainSecret must be true wherever it
// matches.
var secrets = regexp.MustCompile(`(bp_(?:live|test)_)[0-9A-Za-z]+` +
	`|(eyJ)[0-9A-Za-z_-]+\.[0-9A-Za-z_-]+\.[0-9A-Za-z_-]*` +
	`|(://[^/\s:@"]*:)[^/\s@"]+(@)`)

const redacted = "${1}${2}${3}[redacted]${4}"

// redact takes the secrets out of a text.
func redact(s string) string {
	if !mayContainSecret([]byte(s)) {
		return s
	}
	return secrets.ReplaceAllString(s, redacted)
}

// mayContainSecret is a fast look before the expression, which is slow.
func mayContainSecret(text []byte) bool {
	return bytes.Contains(text, []byte("bp_")) || bytes.Contains(text, []byte("eyJ")) ||
		bytes.Contains(text, []byte("://"))
}

func redactValue(v attribute.Value) attribute.Value {
	switch v.Type() {
	case attribute.STRING:
		return attribute.StringValue(redact(v.AsString()))
	case attribute.STRINGSLICE:
		all := v.AsStringSlice()
		for i := range all {
			all[i] = redact(all[i])
		}
		return attribute.StringSliceValue(all)
	case attribute.SLICE:
		all := v.AsSlice()
		for i := range all {
			all[i] = redactValue(all[i])
		}
		return attribute.SliceValue(all...)
	case attribute.MAP:
		return attribute.MapValue(redactAttrs(v.AsMap())...)
	default:
		return v
	}
}

// forbidden attributes never leave: they hold query strings and SQL parameters.
var forbidden = []attribute.Key{
	semconv.URLQueryKey, semconv.URLFullKey, "http.url", "http.target", otelpgx.QueryParametersKey,
}

// redactAttrs makes a new slice: what the SDK hands out may be shared.
func redactAttrs(given []attribute.KeyValue) []attribute.KeyValue {
	clean := make([]attribute.KeyValue, 0, len(given))
	for _, kv := range given {
		if !slices.Contains(forbidden, kv.Key) {
			clean = append(clean, attribute.KeyValue{Key: kv.Key, Value: redactValue(kv.Value)})
		}
	}
	return clean
}
