// Package apikey is the text of an API key: its format, how it is made, read and found in other texts. The record of a
// key is in registry.
//
// A text is "bp_", the environment, "_", 43 random characters of base62 (256 bits), and 6 more that are the CRC-32
// (IEEE) of everything before them in base62. A scanner finds such texts, and a typing error or an invented key is
// refused without a look-up.
package apikey

import (
	"crypto/rand"
	"crypto/sha256"
	"hash/crc32"
	"regexp"
	"strings"
)

// Environment is what a key is for. Its text says which.
type Environment string

// The environments of a key.
const (
	Live Environment = "live"
	Test Environment = "test"
)

// Hash is the SHA-256 of a key's whole text: all that is ever stored of it.
type Hash [sha256.Size]byte

// Pattern matches the text of a key, in the syntax of RE2 and without anchors.
const Pattern = `bp_(?:live|test)_[0-9A-Za-z]{49}`

const (
	base62         = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	secretLength   = 43
	checksumLength = 6
	prefixLength   = len("bp_live_")
	keyLength      = prefixLength + secretLength + checksumLength
	displayLength  = 12
)

var pattern = regexp.MustCompile(Pattern)

// Generate makes the text of a new key.
func Generate(env Environment) string {
	var b strings.Builder
	b.WriteString("bp_" + string(env) + "_")
	random := make([]byte, 64)
	for b.Len() < prefixLength+secretLength {
		_, _ = rand.Read(random) // never fails: it would end the program
		for _, r := range random {
			// 248 = 4 × 62: what is above would make the first characters of the alphabet likelier.
			if r < 248 && b.Len() < prefixLength+secretLength {
				b.WriteByte(base62[r%62])
			}
		}
	}
	sum := checksum([]byte(b.String()))
	b.Write(sum[:])
	return b.String()
}

// checksum is the CRC-32 of text in base62, padded on the left.
func checksum(text []byte) [checksumLength]byte {
	n := crc32.ChecksumIEEE(text)
	var sum [checksumLength]byte
	for i := checksumLength - 1; i >= 0; i-- {
		sum[i] = base62[n%62]
		n /= 62
	}
	return sum
}

// Sum is the hash by which a key's text is stored and found.
func Sum(text string) Hash { return sha256.Sum256([]byte(text)) }

// Prefix is the first 12 characters of a key's text, by which people distinguish keys.
func Prefix(text string) string { return text[:displayLength] }

// Parse returns the hash to look a key's text up by; false for a text that no key can have.
func Parse(text string) (Hash, bool) {
	if len(text) != keyLength {
		return Hash{}, false
	}
	if prefix := text[:prefixLength]; prefix != "bp_live_" && prefix != "bp_test_" {
		return Hash{}, false
	}
	if strings.Trim(text[prefixLength:], base62) != "" {
		return Hash{}, false
	}
	key := []byte(text) // one copy for both sums
	if checksum(key[:keyLength-checksumLength]) != [checksumLength]byte(key[keyLength-checksumLength:]) {
		return Hash{}, false
	}
	return sha256.Sum256(key), true
}

// Contains reports whether a text holds the text of a key, such as one that was pasted there.
func Contains(s string) bool { return strings.Contains(s, "bp_") && pattern.MatchString(s) }

// HasPrefix reports whether a text holds the beginning of a key's text, however much of the key follows.
func HasPrefix(s string) bool {
	return strings.Contains(s, "bp_live_") || strings.Contains(s, "bp_test_")
}
