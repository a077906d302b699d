package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/breakpilot/tenant-registry/internal/auth"
)

// sharesWorld are two tenants on one server, with the tokens of their callers.
type sharesWorld struct {
	*bench
	greedyTenant, quietTenant string
	admins                    []string // of the hostile tenant: more users than one
	admin                     string   // of the innocent one
	writer, other             string   // services that append events
	text                      string   // of a bulk
}

func newSharesWorld(b *bench) (*sharesWorld, error) {
	w := &sharesWorld{bench: b}
	sign := func(claims map[string]any, org string) string {
		claims["exp"] = time.Now().Add(2 * time.Hour).Unix()
		if org != "" {
			claims["organization"] = map[string]any{"an-alias": map[string]any{"id": org}}
		}
		return b.issuer.Sign(claims)
	}
	var err error
	if w.greedyTenant, err = b.tenantOf("greedy"); err != nil {
		return nil, err
	}
	if w.quietTenant, err = b.tenantOf("quiet"); err != nil {
		return nil, err
	}
	for i := range 3 {
		claims := b.issuer.Claims(auth.RoleTenantAdmin)
		claims["sub"] = fmt.Sprint("greedy-", i)
		w.admins = append(w.admins, sign(claims, "org-greedy"))
	}
	claims := b.issuer.Claims(auth.RoleTenantAdmin)
	claims["sub"] = "quiet"
	w.admin = sign(claims, "org-quiet")
	for name, token := range map[string]*string{"greedy-writer": &w.writer, "quiet-writer": &w.other} {
		claims := b.issuer.ServiceClaims(auth.RoleAuditWrite)
		claims["sub"] = name
		*token = sign(claims, "")
	}
	return w, w.fillLog()
}

// tenantOf makes a tenant whose organisation has its name.
func (b *bench) tenantOf(slug string) (string, error) {
	made, _, err := b.post("/v1/tenants", `{"slug":"`+slug+`","name":"`+slug+`","keycloak_org_id":"org-`+slug+`"}`)
	if err != nil {
		return "", err
	}
	return made["id"].(string), nil
}

// fillLog gives the hostile tenant a log to read, of events of 2 KB.
func (w *sharesWorld) fillLog() error {
	event := map[string]any{
		"action": "document.share", "crud": "u", "is_anonymous": true, "description": strings.Repeat("x", 2000),
		"group": map[string]any{"id": w.greedyTenant},
	}
	events := make([]any, 100)
	for i := range events {
		events[i] = event
	}
	text, err := json.Marshal(map[string]any{"events": events})
	if err != nil {
		return err
	}
	body := string(text)
	event["description"] = strings.Repeat("x", 2000)
	event["fields"] = map[string]string{"f": strings.Repeat("y", 12_000)}
	if text, err = json.Marshal(map[string]any{"events": events}); err != nil {
		return err
	}
	w.text = string(text) // 1.4 MB
	for range greedyEvents / len(events) {
		a, err := newRequest("POST /v1/audit/bulk", []string{"Authorization: Bearer " + w.writer}, body, nil).ask(
			w.server.addr,
		)
		if err != nil {
			return err
		}
		if a.Status != http.StatusCreated {
			return fmt.Errorf("filling the log: %d %s", a.Status, a.Body)
		}
	}
	return nil
}

func (w *sharesWorld) bulk(int) asked { return asked{"POST", "/v1/audit/bulk", w.writer, w.text} }

func (w *sharesWorld) event(int) asked {
	body := `{"action":"document.read","crud":"r","is_anonymous":true,"group":{"id":"` + w.quietTenant + `"}}`
	return asked{"POST", "/v1/audit", w.other, body}
}

func (w *sharesWorld) export(i int) asked {
	return asked{"GET", "/v1/audit/export?tenant_id=" + w.greedyTenant, w.admins[i%3], ""}
}

func (w *sharesWorld) longPoll(i int) asked {
	return asked{
		"GET", "/v1/audit?order=asc&wait=5&action=no.such&limit=1&tenant_id=" + w.greedyTenant, w.admins[i%3], "",
	}
}

func (w *sharesWorld) widePage(i int) asked {
	return asked{"GET", "/v1/audit?crud=d&tenant_id=" + w.greedyTenant, w.admins[i%3], ""}
}

func (w *sharesWorld) entitlements(int) asked {
	return asked{"GET", "/v1/entitlements?tenant_id=" + w.quietTenant, w.admin, ""}
}

func (w *sharesWorld) greedyKey(i int) asked { return w.key(i, w.greedyTenant, w.admins[i%3]) }

func (w *sharesWorld) quietKey(i int) asked { return w.key(i, w.quietTenant, w.admin) }

func (w *sharesWorld) key(i int, tenant, token string) asked {
	return asked{"POST", "/v1/api-keys", token, `{"tenant_id":"` + tenant + `","name":"key ` + strconv.Itoa(i) + `"}`}
}

// memoryOf is the resident memory of a process in bytes; 0 where there is no /proc.
func memoryOf(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}
