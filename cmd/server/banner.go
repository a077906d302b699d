package main

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"

	"github.com/breakpilot/tenant-registry/internal/config"
	"github.com/breakpilot/tenant-registry/internal/registry"
)

// banner is what a person wants to know of a program that listens.
type banner struct {
	api, admin string // URLs; admin is empty if nothing listens there
	sample     registry.Sample
}

// show shows it to a person in development, and elsewhere to the log.
func (n banner) show(cfg config.Config, stdout io.Writer, log *slog.Logger) {
	warnOfDev(cfg, log)
	if cfg.Env == "dev" {
		_, _ = io.WriteString(stdout, n.text())
		return
	}
	log.Info("listening", "api", n.api, "admin", n.admin, "version", version)
}

// text says where one is and what to try.
func (n banner) text() string {
	base, sample := n.api, n.sample
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("tenant-registry listens (APP_ENV=dev)")
	if sample.LiveKey == "" {
		line("  store    postgres")
	} else {
		line("  store    memory: sample data, gone when this process ends")
		line("  tenant   acme %s", sample.Tenant)
		line("  API key  %s", sample.LiveKey)
	}
	line("  API      %s/v1", base)
	line("  spec     %s/openapi.yaml", base)
	line("  docs     %s/docs", base)
	line("  ready    %s/readyz", base)
	if n.admin != "" {
		line("  metrics  %s/metrics", n.admin)
	}
	line("try")
	if sample.LiveKey == "" {
		line("  curl -s %s/readyz", base)
		line("  curl -s %s/v1/catalog", base)
		line("  curl -s '%s/v1/audit?limit=3'", base)
	} else {
		line("  curl -s %s/v1/tenants/by-slug/acme", base)
		line("  curl -s '%s/v1/catalog?tenant_id=%s'", base, sample.Tenant)
		line(
			"  curl -s %s/v1/internal/api-keys/verify -H 'Content-Type: application/json' -d '{\"key\":\"%s\"}'", base,
			sample.LiveKey,
		)
	}
	return b.String()
}

// baseURL is how this machine reaches a listener.
func baseURL(l net.Listener) string {
	addr := l.Addr().(*net.TCPAddr)
	if addr.IP.IsUnspecified() {
		return fmt.Sprintf("http://localhost:%d", addr.Port)
	}
	return "http://" + addr.String()
}
