package apikey

import (
	"crypto/sha256"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestChecksum_matchesItsVector(t *testing.T) {
	t.Parallel()
	if got, want := sumText("bp_test_"+strings.Repeat("0", 43)), "0R30v6"; got != want {
		t.Errorf("the checksum is %q, want %q", got, want)
	}
	text := "bp_test_" + strings.Repeat("0", 43) + "0R30v6"
	if hash, ok := Parse(text); !ok || hash != sha256.Sum256([]byte(text)) {
		t.Errorf("Parse(%q) = %x, %t", text, hash, ok)
	}
}

func TestGenerate_hasTheFormat(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, env := range []Environment{Live, Test} {
		for range 1000 {
			text := Generate(env)
			if len(text) != 57 {
				t.Fatalf("%q has %d characters, want 57", text, len(text))
			}
			secret, ok := strings.CutPrefix(text, "bp_"+string(env)+"_")
			if !ok || strings.ContainsFunc(secret, func(r rune) bool { return !strings.ContainsRune(base62, r) }) {
				t.Fatalf("%q is not the prefix and 49 characters of base62", text)
			}
			if hash, ok := Parse(text); !ok || hash != sha256.Sum256([]byte(text)) {
				t.Fatalf("Parse refuses %q", text)
			}
			if seen[text] {
				t.Fatalf("%q was made twice", text)
			}
			seen[text] = true
		}
	}
}

// With 61 degrees of freedom chi-square passes 200 once in 10^16 runs. Taking each random byte modulo 62 would make it
// about 1,100.
func TestGenerate_isUniform(t *testing.T) {
	t.Parallel()
	const keys, bound = 4000, 200.0
	var counts [256]float64
	for range keys {
		for _, c := range []byte(Generate(Live)[prefixLength : prefixLength+secretLength]) {
			counts[c]++
		}
	}
	expected := float64(keys*secretLength) / 62
	chi2 := 0.0
	for _, c := range []byte(base62) {
		chi2 += (counts[c] - expected) * (counts[c] - expected) / expected
	}
	if chi2 > bound {
		t.Errorf("chi-square is %.0f, over %.0f: some characters are likelier than others", chi2, bound)
	}
}

func TestParse_everyChangedByteIsRefused(t *testing.T) {
	t.Parallel()
	text := Generate(Live)
	for i := range len(text) {
		for b := range 256 {
			changed := []byte(text)
			changed[i] = byte(b)
			if _, ok := Parse(string(changed)); ok != (changed[i] == text[i]) {
				t.Fatalf("Parse(%q) is %t, byte %d of a good key being %#x", changed, ok, i, b)
			}
		}
	}
}

func sumText(text string) string {
	sum := checksum([]byte(text))
	return string(sum[:])
}

// withSum completes a body, so that nothing but the rule under test can be the cause of a refusal.
func withSum(body string) string { return body + sumText(body) }

func TestParse_refusesWhatIsNoKey(t *testing.T) {
	t.Parallel()
	zeros := strings.Repeat("0", secretLength)
	good := withSum("bp_live_" + zeros)
	if _, ok := Parse(good); !ok {
		t.Fatal("the key that the others differ from is refused itself")
	}
	for name, text := range map[string]string{
		"nothing":                 "",
		"prefix only":             "bp_live_",
		"one short":               withSum("bp_live_" + zeros[1:]),
		"one long":                withSum("bp_live_" + zeros + "0"),
		"unknown environment":     withSum("bp_prod_" + zeros),
		"upper case prefix":       withSum("BP_LIVE_" + zeros),
		"other separator":         withSum("bp-live-" + zeros),
		"other vendor":            withSum("sk_live_" + zeros),
		"space before":            " " + good,
		"space after":             good + " ",
		"line end":                good + "\n",
		"NUL after":               good + "\x00",
		"dash in the secret":      withSum("bp_live_" + zeros[1:] + "-"),
		"underscore inside":       withSum("bp_live_" + zeros[:20] + "_" + zeros[21:]),
		"NUL inside":              withSum("bp_live_" + zeros[:20] + "\x00" + zeros[21:]),
		"not ASCII, right length": withSum("bp_live_" + "é" + zeros[2:]),
		"not UTF-8":               withSum("bp_live_" + "\xff" + zeros[1:]),
		"full-width digit":        withSum("bp_live_" + "０" + zeros[3:]),
		"sum of the secret alone": "bp_live_" + zeros + sumText(zeros),
		"sum of another prefix":   "bp_test_" + zeros + good[len(good)-checksumLength:],
	} {
		if hash, ok := Parse(text); ok || hash != (Hash{}) {
			t.Errorf("%s: Parse(%q) = %x, %t", name, text, hash, ok)
		}
	}
}

// Looking at every byte of 10 MB ten thousand times would take a minute.
func TestParse_hugeTextIsCheap(t *testing.T) {
	t.Parallel()
	huge := "bp_live_" + strings.Repeat("0", 10<<20)
	began := time.Now()
	for range 10_000 {
		if _, ok := Parse(huge); ok {
			t.Fatal("10 MB are taken for a key")
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("10,000 refusals of 10 MB took %s", took)
	}
}

func TestContains_findsWholeKeys(t *testing.T) {
	t.Parallel()
	for _, env := range []Environment{Live, Test} {
		text := Generate(env)
		for _, found := range []string{
			text, "the key " + text + " leaked", "x" + text + "x", "\n" + text, text + text,
		} {
			if !Contains(found) || !HasPrefix(found) {
				t.Errorf("%q holds a key: %t, the beginning of one: %t", found, Contains(found), HasPrefix(found))
			}
		}
		for _, part := range []string{text[:len(text)-1], text[:prefixLength], Prefix(text)} {
			if Contains(part) || !HasPrefix(part) {
				t.Errorf("%q holds a key: %t, the beginning of one: %t", part, Contains(part), HasPrefix(part))
			}
		}
	}
	for _, other := range []string{
		"", "bp_", "bp_prod_" + strings.Repeat("0", 49), "BP_LIVE_" + strings.Repeat("0", 49),
	} {
		if Contains(other) || HasPrefix(other) {
			t.Errorf("%q is taken for a key", other)
		}
	}
}

// A scanner finds texts by the pattern alone, so it also finds those whose checksum is wrong.
func TestPattern_matchesWhatGenerateMakes(t *testing.T) {
	t.Parallel()
	whole := regexp.MustCompile("^" + Pattern + "$")
	for _, text := range []string{Generate(Live), Generate(Test), "bp_live_" + strings.Repeat("0", 49)} {
		if !whole.MatchString(text) {
			t.Errorf("%q does not match", text)
		}
	}
}

func TestSum_isTheHashThatParseReturns(t *testing.T) {
	t.Parallel()
	text := Generate(Live)
	if hash, ok := Parse(text); !ok || hash != Sum(text) || Prefix(text) != text[:12] {
		t.Errorf("Parse returns %x, Sum %x, Prefix %q", hash, Sum(text), Prefix(text))
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "bp_live_", "bp_test_" + strings.Repeat("0", 43) + "0R30v6", "bp_live_" + strings.Repeat("z", 49),
		Generate(Live), Generate(Test),
		strings.Repeat("é", 57), strings.Repeat("\x00", 57),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		hash, ok := Parse(text)
		if !ok {
			if hash != (Hash{}) {
				t.Fatalf("a refused text has the hash %x", hash)
			}
			return
		}
		if hash != sha256.Sum256([]byte(text)) {
			t.Fatal("the hash is not that of the text")
		}
		if len(text) != 57 || text != withSum(text[:51]) || (text[:8] != "bp_live_" && text[:8] != "bp_test_") {
			t.Fatalf("%q is taken for a key", text)
		}
	})
}
