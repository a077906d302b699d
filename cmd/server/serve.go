package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"github.com/breakpilot/tenant-registry/internal/auth"
	"github.com/breakpilot/tenant-registry/internal/config"
	"github.com/breakpilot/tenant-registry/internal/server"
	"github.com/breakpilot/tenant-registry/internal/telemetry"
)

// maxHeaderBytes has room for a token of 32 KB, which is too long and told so by authentication. net/http adds 4 KB.
const maxHeaderBytes = 48 << 10

// limits are how long one connection may take for its header, the whole request, the answer, and to begin the next
// request. A handler has its own deadline, which is shorter than write, or lifts these and sets its own.
type limits struct{ header, read, write, idle time.Duration }

var usualLimits = limits{
	header: 5 * time.Second, read: 15 * time.Second, write: 30 * time.Second, idle: 2 * time.Minute,
}

// serve runs the API until ctx ends, and then drains it.
func serve(ctx context.Context, environ []string, stdout, stderr io.Writer) error {
	getenv := config.Getenv(environ)
	cfg, err := config.Load(getenv)
	if err != nil {
		return unusable{errors.Join(err, misspelledError(environ))}
	}
	defer endBy(ctx, cfg.DrainDelay+forceAfter, stderr)()
	memory := config.MemoryLimit(os.DirFS("/"))
	setMemory(cfg.GCPercent, memory, getenv)
	signer, err := checkpointSigner(cfg.AuditSigning)
	if err != nil {
		return unusable{err}
	}
	tel, err := telemetry.Setup(ctx, telemetry.Options{
		ServiceVersion: version, Getenv: getenv, LogOutput: stderr, LogFormat: cfg.LogFormat, LogLevel: cfg.LogLevel,
		Prometheus: cfg.AdminAddr != "",
	})
	if err != nil {
		return unusable{err}
	}
	var e ending
	defer flush(tel, &e)
	log := tel.Logger()
	warnOfSettings(cfg, environ, log)
	warnOfMemory(memory, cfg.CacheKeys, log)
	c, err := openCore(ctx, cfg, signer, tel)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil // told to end before it served
	case err != nil:
		return err
	}
	defer c.close(&e)
	who, stopAuth, err := authenticator(cfg, log)
	if err != nil {
		return unusable{err}
	}
	defer stopAuth()
	api := newAPI(cfg, c, who, tel)
	listener, err := listen(cfg.Addr)
	if err != nil {
		return err
	}
	admin, stopAdmin, err := serveAdmin(cfg.AdminAddr, tel.AdminHandler(), log)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer stopAdmin()
	web := httpServer(api, usualLimits, log)
	ended := serveAtMost(cfg.MaxConnections, web, listener)
	banner{api: baseURL(listener), admin: admin, sample: c.sample}.show(cfg, stdout, log)
	select {
	case err := <-ended:
		return fmt.Errorf("the listener ended: %w", err)
	case <-ctx.Done():
	}
	drain(api, web, cfg.DrainDelay, &e, log)
	return nil
}

func newAPI(cfg config.Config, c *core, who auth.Authenticator, tel *telemetry.Telemetry) *server.Server {
	return server.New(server.Config{
		Registry: c.service, Security: c.security, Auth: who, AuthMode: cfg.AuthMode, RateLimit: cfg.RateLimit,
		TrustedProxies: cfg.TrustedProxies, Logger: tel.Logger(), Wrap: tel.Wrap, Version: version, Docs: cfg.Docs,
	})
}

func httpServer(handler http.Handler, within limits, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: handler, ReadHeaderTimeout: within.header, ReadTimeout: within.read, WriteTimeout: within.write,
		IdleTimeout: within.idle, MaxHeaderBytes: maxHeaderBytes, DisableGeneralOptionsHandler: true,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

func listen(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("the address %s is taken: end what listens there or set ADDR, such as ADDR=:8091", addr)
	case err != nil:
		return nil, fmt.Errorf("cannot listen on %s, set ADDR to an address of this machine: %w", addr, err)
	}
	return l, nil
}

// serveAdmin serves metrics and profiles on an address of their own, and returns where, and how to end that.
func serveAdmin(addr string, handler http.Handler, log *slog.Logger) (base string, stop func(), err error) {
	if addr == "" {
		return "", func() {}, nil
	}
	l, err := listen(addr)
	if err != nil {
		return "", nil, fmt.Errorf("ADMIN_ADDR: %w", err)
	}
	within := usualLimits
	within.write = 0 // a profile takes as long as it is asked to
	web := httpServer(handler, within, log)
	go func() { _ = web.Serve(l) }()
	return baseURL(l), func() { _ = web.Close() }, nil
}
