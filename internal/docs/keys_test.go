package docs_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// newKeys creates keys of both environments at a server, n of each.
func newKeys(t *testing.T, base string, n int) []string {
	t.Helper()
	tenant := quoted(t, "seeded with the tenant `acme` \\(id `([^`]+)`\\)")
	var keys []string
	for range n {
		for _, environment := range []string{"live", "test"} {
			var created struct{ Key string }
			body := fmt.Sprintf(`{"tenant_id":%q,"name":"a key","environment":%q}`, tenant, environment)
			post(t, base+"/v1/api-keys", body, http.StatusCreated, &created)
			if !strings.HasPrefix(created.Key, "bp_"+environment+"_") {
				t.Fatalf("a key of %s is %q", environment, created.Key)
			}
			keys = append(keys, created.Key)
		}
	}
	return keys
}

// TestPages_keys holds the expression for keys, and what a mistyped one is answered, to keys of a server.
func TestPages_keys(t *testing.T) {
	t.Parallel()
	base := serve(t, "")
	pattern := regexp.MustCompile(quoted(t, "API keys\\*{0,2} match `([^`]+)`"))
	code := func(key string) string {
		var verdict struct{ Code string }
		body := fmt.Sprintf(`{"key":%q,"product":"compliance-suite"}`, key)
		post(t, base+"/v1/internal/api-keys/verify", body, http.StatusOK, &verdict)
		return verdict.Code
	}
	for _, key := range newKeys(t, base, 100) {
		if !pattern.MatchString(key) || code(key) != "VALID" {
			t.Errorf("the key %q is not as the page says: %s", key, code(key))
		}
		for _, other := range []string{key + "0", key[:len(key)-1], "x" + key, strings.ToUpper(key), key + "\n"} {
			if pattern.MatchString(other) {
				t.Errorf("the expression of the page matches %q", other)
			}
		}
		other := "0"
		if key[20:21] == other {
			other = "1"
		}
		if mistyped := key[:20] + other + key[21:]; code(mistyped) != "MALFORMED" {
			t.Errorf("the mistyped key %q is %s", mistyped, code(mistyped))
		}
	}
}

// TestPages_keyPatterns runs what the page says of finding keys over keys and over what is none.
func TestPages_keyPatterns(t *testing.T) {
	t.Parallel()
	inText := quoted(t, "is found in a text by `([^`]+)`")
	rule := blocks(t, "toml")
	if len(rule) != 1 {
		t.Fatalf("there are %d rules", len(rule))
	}
	ofRule := regexp.MustCompile(`(?m)^regex = '''(.+)'''$`).FindStringSubmatch(rule[0])
	if ofRule == nil || ofRule[1] != inText {
		t.Fatalf("the rule has the expression %q, the text %q", ofRule, inText)
	}
	pattern := regexp.MustCompile(inText)
	if pattern.NumSubexp() != 0 {
		t.Error("gitleaks would take a group for the secret")
	}
	contexts := []string{
		"%", `key = "%"`, "curl -H 'X-Key: %'", "https://example.com/?key=%&x=1", "export KEY=%; echo", "`%`.",
		"{\"key\":\"%\"}", "a,%,b", "\t%\r",
	}
	for _, key := range newKeys(t, serve(t, ""), 20) {
		for _, line := range contexts {
			found := pattern.FindAllString(strings.ReplaceAll(line, "%", key), -1)
			if len(found) != 1 || found[0] != key {
				t.Errorf("in %q it finds %q", line, found)
			}
		}
		if !strings.Contains(rule[0], `"`+key[:8]+`"`) {
			t.Errorf("%s is not a keyword of the rule", key[:8])
		}
		for name, text := range map[string]string{
			"too short": key[:56], "too long": key + "0", "in a word": "x" + key, "underscore behind": key + "_",
			"another environment": "bp_prod" + key[7:], "upper case": strings.ToUpper(key),
			"a dash in it": key[:30] + "-" + key[31:], "cut": key[:30] + "\n" + key[30:], "prefix": key[:12],
			"no prefix": key[8:],
		} {
			if pattern.MatchString(text) {
				t.Errorf("%s: it finds a key", name)
			}
		}
	}
}
