package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/breakpilot/tenant-registry/internal/config"
	"github.com/breakpilot/tenant-registry/internal/registry"
)

// greet tells a person in development where they are and what to try. Elsewhere the log says it.
func greet(w io.Writer, cfg config.Config, base string, sample registry.Sample) {
	if cfg.Env != "dev" {
		return
	}
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
	line("try")
	if sample.LiveKey == "" {
		line("  curl -s %s/readyz", base)
		line("  curl -s %s/v1/catalog", base)
		line("  curl -s %s/v1/tenants -H 'Content-Type: application/json' -d '{\"slug\":\"globex\",\"name\":\"Globex\"}'", base)
	} else {
		line("  curl -s %s/v1/tenants/by-slug/acme", base)
		line("  curl -s '%s/v1/catalog?tenant_id=%s'", base, sample.Tenant)
		line("  curl -s %s/v1/internal/api-keys/verify -H 'Content-Type: application/json' -d '{\"key\":\"%s\"}'", base, sample.LiveKey)
	}
	_, _ = io.WriteString(w, b.String())
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
