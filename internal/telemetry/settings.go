package telemetry

import (
	"fmt"
	"maps"
	"net/url"
	"strings"
)

// settings is what the environment asks for.
type settings struct {
	traces, metrics, logs *endpoint         // nil: off
	resource              map[string]string // attributes of the service, service.name among them
	disabled              bool
}

// endpoint is where one signal goes.
type endpoint struct {
	url     string
	headers map[string]string
}

// readSettings reads the variables of the OpenTelemetry specification that decide what leaves and where to:
//
//	OTEL_SDK_DISABLED                       true: everything is off, the metrics for Prometheus too
//	OTEL_EXPORTER_OTLP_ENDPOINT             base URL; switches all three signals on
//	OTEL_EXPORTER_OTLP_{signal}_ENDPOINT    full URL; switches on this signal
//	OTEL_{signal}_EXPORTER                  otlp or none
//	OTEL_EXPORTER_OTLP_PROTOCOL             http/protobuf, also as OTEL_EXPORTER_OTLP_{signal}_PROTOCOL
//	OTEL_EXPORTER_OTLP_HEADERS              name=value,…, also as OTEL_EXPORTER_OTLP_{signal}_HEADERS
//	OTEL_SERVICE_NAME                       tenant-registry if unset
//	OTEL_RESOURCE_ATTRIBUTES                name=value,…
//
// {signal} is TRACES, METRICS or LOGS. The SDK itself reads the rest from the process's environment: timeouts,
// compression and certificates (OTEL_EXPORTER_OTLP_…), batches and limits (OTEL_BSP_…, OTEL_BLRP_…, OTEL_SPAN_…),
// OTEL_METRIC_EXPORT_… and OTEL_TRACES_SAMPLER. checkSDK refuses what the SDK would ignore, or die of. The headers are
// read here because the SDK prints a malformed one, which may be a secret, to standard error.
func readSettings(getenv func(string) string) (settings, error) {
	env := func(name string) string { return strings.TrimSpace(getenv(name)) }
	s := settings{disabled: strings.EqualFold(env("OTEL_SDK_DISABLED"), "true")}
	if s.disabled {
		return s, nil
	}
	var err error
	if s.traces, err = readEndpoint(env, "TRACES", "v1/traces"); err != nil {
		return s, err
	}
	if s.metrics, err = readEndpoint(env, "METRICS", "v1/metrics"); err != nil {
		return s, err
	}
	if s.logs, err = readEndpoint(env, "LOGS", "v1/logs"); err != nil {
		return s, err
	}
	s.resource = map[string]string{"service.name": ServiceName}
	given, err := readPairs(env, "OTEL_RESOURCE_ATTRIBUTES")
	if err != nil {
		return s, err
	}
	maps.Copy(s.resource, given)
	if name := env("OTEL_SERVICE_NAME"); name != "" {
		s.resource["service.name"] = name
	}
	if s.traces != nil || s.metrics != nil || s.logs != nil {
		err = checkSDK(getenv)
	}
	return s, err
}

// readEndpoint tells where a signal goes; nil if nowhere. path is what is added to the base URL.
func readEndpoint(env func(string) string, signal, path string) (*endpoint, error) {
	name, raw := firstSet(env, "OTEL_EXPORTER_OTLP_"+signal+"_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
	exporter := "OTEL_" + signal + "_EXPORTER"
	if raw == "" || env(exporter) == "none" {
		return nil, nil
	}
	if v := env(exporter); v != "" && v != "otlp" {
		return nil, fmt.Errorf("%s must be otlp or none", exporter)
	}
	protocol, v := firstSet(env, "OTEL_EXPORTER_OTLP_"+signal+"_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
	if v != "" && v != "http/protobuf" {
		return nil, fmt.Errorf("%s must be http/protobuf, the only protocol supported, or unset", protocol)
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%s must be a URL such as http://collector:4318", name)
	}
	if name == "OTEL_EXPORTER_OTLP_ENDPOINT" {
		u = u.JoinPath(path)
	}
	header, _ := firstSet(env, "OTEL_EXPORTER_OTLP_"+signal+"_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
	headers, err := readPairs(env, header)
	if err != nil {
		return nil, err
	}
	return &endpoint{url: u.String(), headers: headers}, nil
}

// firstSet is the first of the variables that is not empty, and its value; if all are, the last.
func firstSet(env func(string) string, names ...string) (name, value string) {
	for _, name = range names {
		if value = env(name); value != "" {
			break
		}
	}
	return name, value
}

// readPairs reads name=value,… with percent-encoded values. The error names the variable, never what is in it.
func readPairs(env func(string) string, variable string) (map[string]string, error) {
	pairs := map[string]string{}
	for pair := range strings.SplitSeq(env(variable), ",") {
		if pair = strings.TrimSpace(pair); pair == "" {
			continue
		}
		name, encoded, found := strings.Cut(pair, "=")
		name = strings.TrimSpace(name)
		value, err := url.PathUnescape(strings.TrimSpace(encoded))
		if !found || name == "" || err != nil {
			return nil, fmt.Errorf("%s must be name=value pairs separated by commas, with percent-encoded values",
				variable)
		}
		pairs[name] = value
	}
	return pairs, nil
}
