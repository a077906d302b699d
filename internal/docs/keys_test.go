package docs_test

import (
	"fmt"
	"io/fs"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
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
	said := regexp.MustCompile(`(?m)^entropy = ([0-9.]+)$`).FindStringSubmatch(rule[0])
	if said == nil {
		t.Fatal("the rule has no entropy")
	}
	least, err := strconv.ParseFloat(said[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	contexts := []string{
		"%", `key = "%"`, "curl -H 'X-Key: %'", "https://example.com/?key=%&x=1", "export KEY=%; echo", "`%`.",
		"{\"key\":\"%\"}", "a,%,b", "\t%\r",
		`{"log":"first\n%\nlast"}`, `"\t%"`, "key_%_old", "KEY_%", "x%", "%é", `\u0022%`, "%%",
	}
	for _, key := range newKeys(t, serve(t, ""), 20) {
		for _, line := range contexts {
			found := pattern.FindAllString(strings.ReplaceAll(line, "%", key), -1)
			if len(found) != strings.Count(line, "%") || found[0] != key || entropy(found[0]) <= least+0.5 {
				t.Errorf("in %q it finds %q", line, found)
			}
		}
		if !strings.Contains(rule[0], `"`+key[:8]+`"`) {
			t.Errorf("%s is not a keyword of the rule", key[:8])
		}
		for name, text := range map[string]string{
			"too short":           key[:56],
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

// entropy is Shannon's, in bits for each character, as gitleaks computes it.
func entropy(text string) float64 {
	counts := map[rune]int{}
	for _, r := range text {
		counts[r]++
	}
	var sum float64
	for _, n := range counts {
		share := float64(n) / float64(len(text))
		sum -= share * math.Log2(share)
	}
	return sum
}

// TestPages_examplesAreNoFindings asserts that the rule finds no key in any file of the project: what looks like one is
// an example, and its entropy is low.
func TestPages_examplesAreNoFindings(t *testing.T) {
	t.Parallel()
	pattern := regexp.MustCompile(quoted(t, "is found in a text by `([^`]+)`"))
	said := regexp.MustCompile(`(?m)^entropy = ([0-9.]+)$`).FindStringSubmatch(blocks(t, "toml")[0])
	least, err := strconv.ParseFloat(said[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	examples := 0
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			if err == nil && (entry.Name() == ".git" || entry.Name() == "bin") {
				return filepath.SkipDir
			}
			return err
		}
		kinds := []string{".go", ".md", ".yaml", ".json", ".ts", ".js", ".txt", ".sql"}
		if !slices.Contains(kinds, filepath.Ext(path)) {
			return nil
		}
		text, err := os.ReadFile(path)
		for _, found := range pattern.FindAll(text, -1) {
			if examples++; entropy(string(found)) > least-0.5 {
				t.Errorf("%s has %s, which the rule takes for a key", path, found)
			}
		}
		return err
	})
	if err != nil || examples < 5 {
		t.Errorf("%d examples, %v", examples, err)
	}
}
