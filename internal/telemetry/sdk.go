package telemetry

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// sdkNumber is a number that the SDK reads from the environment. It panics at some, allocates for others as much as
// they say, and ignores what is none.
type sdkNumber struct {
	names       []string
	least, most int
}

const hour = 3_600_000 // milliseconds

// sdkNumbers are all of them. Of a queue of logs each place takes half a kilobyte from the start.
var sdkNumbers = []sdkNumber{
	{[]string{"OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BLRP_MAX_QUEUE_SIZE"}, 1, 100_000},
	{[]string{"OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE"}, 1, 10_000},
	{[]string{
		"OTEL_BSP_SCHEDULE_DELAY", "OTEL_BLRP_SCHEDULE_DELAY", "OTEL_BSP_EXPORT_TIMEOUT", "OTEL_BLRP_EXPORT_TIMEOUT",
		"OTEL_METRIC_EXPORT_INTERVAL", "OTEL_METRIC_EXPORT_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT",
		"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT",
	}, 1, hour},
	{[]string{ // -1 is no limit
		"OTEL_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
		"OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_SPAN_EVENT_COUNT_LIMIT", "OTEL_SPAN_LINK_COUNT_LIMIT",
		"OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT",
		"OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_GO_X_CARDINALITY_LIMIT",
	}, -1, 1_000_000},
}

// sdkChoice is a word that the SDK reads from the environment; it ignores one that it does not know.
type sdkChoice struct {
	names   []string
	allowed []string
}

var sdkChoices = []sdkChoice{
	{[]string{
		"OTEL_EXPORTER_OTLP_COMPRESSION", "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
		"OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "OTEL_EXPORTER_OTLP_LOGS_COMPRESSION",
	}, []string{"gzip", "none"}},
	{[]string{"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"}, []string{"cumulative", "delta", "lowmemory"}},
	{
		[]string{"OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION"},
		[]string{"explicit_bucket_histogram", "base2_exponential_bucket_histogram"},
	},
	{[]string{"OTEL_TRACES_SAMPLER"}, []string{
		"always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off",
		"parentbased_traceidratio",
	}},
}

// checkSDK refuses what the SDK cannot use of the environment. Its error is one sentence that names the variable.
func checkSDK(getenv func(string) string) error {
	for _, n := range sdkNumbers {
		for _, name := range n.names {
			value, err := strconv.Atoi(getenv(name))
			if getenv(name) != "" && (err != nil || value < n.least || value > n.most) {
				return fmt.Errorf("%s must be a whole number from %d to %d", name, n.least, n.most)
			}
		}
	}
	for _, c := range sdkChoices {
		for _, name := range c.names {
			if value := getenv(name); value != "" && !slices.Contains(c.allowed, value) {
				return fmt.Errorf("%s must be one of %s", name, strings.Join(c.allowed, ", "))
			}
		}
	}
	const ratio = "OTEL_TRACES_SAMPLER_ARG"
	if strings.HasSuffix(getenv("OTEL_TRACES_SAMPLER"), "traceidratio") && getenv(ratio) != "" {
		if part, err := strconv.ParseFloat(getenv(ratio), 64); err != nil || !(part >= 0 && part <= 1) {
			return fmt.Errorf("%s must be a number from 0 to 1", ratio)
		}
	}
	return checkCertificates(getenv)
}

// checkCertificates reads the files that the SDK will read: without them it would connect with others, or not at all.
func checkCertificates(getenv func(string) string) error {
	for _, signal := range []string{"", "TRACES_", "METRICS_", "LOGS_"} {
		prefix := "OTEL_EXPORTER_OTLP_" + signal
		if name := prefix + "CERTIFICATE"; getenv(name) != "" {
			text, err := os.ReadFile(getenv(name))
			if err != nil || !x509.NewCertPool().AppendCertsFromPEM(text) {
				return fmt.Errorf("%s must be a file with certificates in PEM", name)
			}
		}
		certificate, key := getenv(prefix+"CLIENT_CERTIFICATE"), getenv(prefix+"CLIENT_KEY")
		if (certificate == "") != (key == "") {
			return fmt.Errorf("%sCLIENT_CERTIFICATE and %sCLIENT_KEY must be set both or neither", prefix, prefix)
		}
		if certificate != "" {
			if _, err := tls.LoadX509KeyPair(certificate, key); err != nil {
				return fmt.Errorf("%sCLIENT_CERTIFICATE and %sCLIENT_KEY must be files with a certificate and its key",
					prefix, prefix)
			}
		}
	}
	return nil
}
