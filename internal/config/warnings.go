package config

import (
	"net"
	"net/url"
	"strings"
)

// warn finds what is allowed outside of development, and most likely not meant.
func (r *reader) warn(c *Config) {
	add := func(name, why string) { c.Warnings = append(c.Warnings, name+": "+why) }
	if c.RateLimit == 0 {
		add("RATE_LIMIT", "0 means that one caller may take all of a replica")
	}
	if host, _, err := net.SplitHostPort(c.AdminAddr); err == nil && (host == "" || net.ParseIP(host).IsUnspecified()) {
		add("ADMIN_ADDR", "it listens on all interfaces, and profiles show what is in memory: name one")
	}
	if !c.AuditSigning.Set() {
		add("AUDIT_SIGNING_KEY", "without it there are no checkpoints, and a log that was written anew goes unseen")
	}
	for _, signal := range []string{"", "TRACES_", "METRICS_", "LOGS_"} {
		name := "OTEL_EXPORTER_OTLP_" + signal + "ENDPOINT"
		u, err := url.Parse(r.getenv(name))
		if err == nil && strings.EqualFold(u.Scheme, "http") && !loopback(u.Hostname()) {
			add(name, "telemetry leaves this machine without TLS: use https")
		}
	}
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
