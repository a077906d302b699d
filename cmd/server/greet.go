package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/breakpilot/tenant-registry/internal/config"
	"github.com/breakpilot/tenant-registry/internal/registry"
)

// greeting is what somebody wants to know of a program that listens.
type greeting struct {
	api, admin string // URLs; admin is empty if nothing listens there
	sample     registry.Sample
}

// tell tells a person in development, and elsewhere the log.
func (g greeting) tell(cfg config.Config, stdout io.Writer, log *slog.Logger) {
	warnOfDev(cfg, log)
	if cfg.Env == "dev" {
		_, _ = io.WriteString(stdout, g.text())
		return
	}
	log.Info("listening", "api", g.api, "admin", g.admin, "version", version)
}

// text says where one is and what to try.
func (g greeting) text() string {
	base, sample := g.api, g.sample
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
	line("  ready    %s/readyz", base)
	if g.admin != "" {
		line("  metrics  %s/metrics", g.admin)
	}
	line("try")
	if sample.LiveKey == "" {
		line("  curl -s %s/readyz", base)
		line("  curl -s %s/v1/catalog", base)
		line("  curl -s '%s/v1/audit?limit=3'", base)
	} else {
		line("  curl -s %s/v1/tenants/by-slug/acme", base)
		line("  curl -s '%s/v1/catalog?tenant_id=%s'", base, sample.Tenant)
		line("  curl -s %s/v1/internal/api-keys/verify -H 'Content-Type: application/json' -d '{\"key\":\"%s\"}'", base, sample.LiveKey)
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

// healthcheck asks the server that runs with the same environment, for a container's HEALTHCHECK.
func healthcheck(ctx context.Context, args []string, getenv func(string) string) error {
	addr, path := getenv("ADDR"), "/healthz"
	if addr == "" {
		addr = ":8090"
	}
	if len(args) == 1 {
		path = args[0]
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return unusable{fmt.Errorf("ADDR: must be HOST:PORT or :PORT")}
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+path, nil)
	if err != nil {
		return unusable{err}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %d", path, resp.StatusCode)
	}
	return nil
}
