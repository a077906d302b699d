package internal_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
)

// TestReadme_keyPatterns runs what the README says of finding keys over keys and over what is none.
func TestReadme_keyPatterns(t *testing.T) {
	t.Parallel()
	readme := read(t, "../README.md")
	inText := regexp.MustCompile("is found in a text by `([^`]+)`").FindStringSubmatch(readme)
	rule := blocks(t, "toml")
	if inText == nil || len(rule) != 1 {
		t.Fatalf("the README has the expression %q and %d rules", inText, len(rule))
	}
	ofRule := regexp.MustCompile(`(?m)^regex = '''(.+)'''$`).FindStringSubmatch(rule[0])
	if ofRule == nil || ofRule[1] != inText[1] {
		t.Fatalf("the rule has the expression %q, the text %q", ofRule, inText[1])
	}
	pattern := regexp.MustCompile(inText[1])
	if pattern.NumSubexp() != 0 {
		t.Error("gitleaks would take a group for the secret")
	}
	for _, key := range realKeys(t) {
		for _, line := range []string{
			"%", `key = "%"`, "curl -H 'X-Key: %'", "https://example.com/?key=%&x=1", "export KEY=%; echo", "`%`.", "{\"key\":\"%\"}", "a,%,b", "\t%\r",
		} {
			if found := pattern.FindAllString(strings.ReplaceAll(line, "%", key), -1); len(found) != 1 || found[0] != key {
				t.Errorf("in %q it finds %q", line, found)
			}
		}
		if !strings.Contains(rule[0], `"`+key[:8]+`"`) {
			t.Errorf("%s is no keyword of the rule", key[:8])
		}
		for name, text := range map[string]string{
			"too short": key[:56], "too long": key + "0", "in a word": "x" + key, "underscore behind": key + "_", "another environment": "bp_prod" + key[7:],
			"upper case": strings.ToUpper(key), "a dash in it": key[:30] + "-" + key[31:], "cut": key[:30] + "\n" + key[30:], "prefix": key[:12], "no prefix": key[8:],
		} {
			if pattern.MatchString(text) {
				t.Errorf("%s: it finds something", name)
			}
		}
	}
}

// realKeys are keys of both environments, as the service makes them.
func realKeys(t *testing.T) []string {
	t.Helper()
	store := memory.New()
	if _, err := registry.Seed(t.Context(), store, registry.Options{}); err != nil {
		t.Fatal(err)
	}
	service, by := registry.New(store, registry.Options{}), registry.Caller{Scope: registry.Everything, Actor: registry.Party{ID: "operator"}}
	var keys []string
	for range 20 {
		for _, env := range []registry.Environment{registry.Live, registry.Test} {
			_, text, err := service.CreateAPIKey(t.Context(), by, registry.NewAPIKey{TenantID: registry.AcmeID, Name: "a key", Environment: env})
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, text)
		}
	}
	return keys
}
