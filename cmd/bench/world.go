package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/breakpilot/tenant-registry/internal/auth"
	"github.com/breakpilot/tenant-registry/internal/auth/authtest"
)

// bench is everything that a run has made, and what it takes down at the end.
type bench struct {
	options
	out   interface{ Write([]byte) (int, error) }
	began time.Time

	folder string
	binary string // of the server
	db     *database
	issuer *authtest.Issuer
	token  string
	log    *os.File // the server's
	server *process
	named  map[string]texts // what requests name: key, few (keys), slug, tag (its entity tag), tenant
	undo   []func() error
}

// later notes what close has to do; the last noted is done first.
func (b *bench) later(undo func() error) { b.undo = append(b.undo, undo) }

func (b *bench) close() error {
	var failed error
	for _, undo := range slices.Backward(b.undo) {
		failed = errors.Join(failed, undo())
	}
	return failed
}

func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.out, "%5.0fs  %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, args...))
}

const modulePath = "github.com/breakpilot/tenant-registry"

// product is the one that all keys are verified for.
const product = "compliance-suite"

func (b *bench) open(ctx context.Context) (err error) {
	if b.folder, err = os.MkdirTemp("", "tenant-registry-bench-"); err != nil {
		return err
	}
	b.later(func() error { return os.RemoveAll(b.folder) })
	b.binary = filepath.Join(b.folder, "tenant-registry")
	build := exec.CommandContext(ctx, "go", "build", "-o", b.binary, modulePath+"/cmd/server")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the server: %w\n%s", err, out)
	}
	b.issuer = authtest.New()
	b.later(func() error { b.issuer.Close(); return nil })
	claims := b.issuer.ServiceClaims(auth.RoleKeysVerify, auth.RolePortal, auth.RoleAuditWrite)
	claims["product"], claims["exp"] = product, time.Now().Add(2*time.Hour).Unix()
	b.token = b.issuer.Sign(claims)
	b.log, err = os.OpenFile(filepath.Join(b.folder, "server.log"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	b.later(b.log.Close)
	if !b.memory {
		if err := b.openDatabase(ctx); err != nil {
			return err
		}
	}
	if b.server, err = b.start(ctx); err != nil {
		return err
	}
	if b.memory {
		err = b.fillMemory()
	}
	b.say("the server listens; its log goes to a file as JSON")
	return err
}

// start runs a server, with more settings than all have.
func (b *bench) start(ctx context.Context, more ...string) (*process, error) {
	env := []string{
		"APP_ENV=dev", "AUTH_MODE=oidc", "LOG_FORMAT=json", "ADDR=127.0.0.1:0", "DRAIN_DELAY=0s",
		"SHARE_APPENDS=0/0/0", "SHARE_APPEND_BYTES=0/0/0", "SHARE_EVENTS=0/0/0", // one caller is the whole load
		"KEYCLOAK_ISSUER=" + b.issuer.URL(), fmt.Sprintf("MAX_KEYS_PER_TENANT=%d", max(b.keys, 10_000)),
	}
	if b.db != nil {
		env = append(env, "DATABASE_URL="+b.db.dsn)
	}
	p, err := startServer(ctx, b.binary, slices.Concat(env, b.settings, more), b.log)
	if err == nil {
		b.later(p.stop)
	}
	return p, err
}

// request is one of the server's callers.
func (b *bench) request(target, body string, headers ...string) request {
	return newRequest(target, append([]string{"Authorization: Bearer " + b.token}, headers...), body, b.named)
}

// fillMemory creates tenants with a trial and a key each, as a portal would.
func (b *bench) fillMemory() error {
	var keys, slugs, tags, tenants strings.Builder
	for i := range min(b.tenants, b.keys, 1000) {
		slug := fmt.Sprintf("tenant-%05d", i)
		tenant, header, err := b.post("/v1/tenants", `{"slug":"`+slug+`","name":"A tenant of the benchmark"}`)
		if err != nil {
			return err
		}
		id := tenant["id"].(string)
		trial := `{"tenant_id":"` + id + `","product":"` + product + `"}`
		if _, _, err := b.post("/v1/catalog/trial-request", trial); err != nil {
			return err
		}
		key, _, err := b.post("/v1/api-keys",
			`{"tenant_id":"`+id+`","name":"production","scopes":["reports:read","reports:write"]}`)
		if err != nil {
			return err
		}
		keys.WriteString(key["key"].(string))
		slugs.WriteString(slug)
		tags.WriteString(header.Get("ETag"))
		tenants.WriteString(id)
	}
	b.named = map[string]texts{
		"key": {keys.String(), keyLength}, "few": {keys.String(), keyLength}, "slug": {slugs.String(), 12},
		"tag": {tags.String(), 40}, "tenant": {tenants.String(), 36},
	}
	return nil
}
