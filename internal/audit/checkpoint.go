package audit

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/note"

	"github.com/breakpilot/tenant-registry/internal/timestamp"
)

// Checkpoint is where a chain stood at a time: whatever was in it then is covered by the hash of its head.
type Checkpoint struct {
	Head ChainHead
	At   time.Time
}

// SignCheckpoint signs where a group's chain stands: a C2SP checkpoint in a C2SP signed note, whose origin is
// "tenant-registry/" and the group's id, and whose extension line is "time " and the time.
func SignCheckpoint(signer note.Signer, group uuid.UUID, c Checkpoint) (string, error) {
	return sign(signer, headText(group, c.Head)+fmt.Sprintf("time %s\n", timestamp.Format(c.At)))
}

// SignHead is SignCheckpoint for the trailer of an export, without an extension line: the header has the time.
func SignHead(signer note.Signer, group uuid.UUID, head ChainHead) (string, error) {
	return sign(signer, headText(group, head))
}

func sign(signer note.Signer, text string) (string, error) {
	signed, err := note.Sign(&note.Note{Text: text}, signer)
	return string(signed), err
}

// headText is the three lines with which every checkpoint begins.
func headText(group uuid.UUID, head ChainHead) string {
	return fmt.Sprintf("%s\n%d\n%s\n", checkpointOrigin(group), head.Seq, base64Hash(head.HashOrZero()))
}

func base64Hash(text string) string {
	hash, err := hex.DecodeString(text)
	if err != nil { // stores hold hashes
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(hash)
}

func checkpointOrigin(group uuid.UUID) string { return "tenant-registry/" + group.String() }

// NewSigner reads a private key as GenerateKey makes it. Its error does not repeat the key.
func NewSigner(private string) (note.Signer, error) {
	signer, err := note.NewSigner(private)
	if err != nil {
		return nil, errors.New(
			"must be a private key of the form PRIVATE+KEY+…, as `tenant-registry audit keygen` prints it",
		)
	}
	return signer, nil
}

// GenerateKey makes a signing key for checkpoints, and the verifier key that checks its signatures. A name has no blank
// and no plus sign.
func GenerateKey(name string) (private, verifier string, err error) {
	private, verifier, err = note.GenerateKey(rand.Reader, name)
	if err == nil {
		_, err = note.NewVerifier(verifier)
	}
	if err != nil {
		return "", "", errors.New("a name of a key has no blank and no plus sign")
	}
	return private, verifier, nil
}

// NewVerifier reads the public part of a key.
func NewVerifier(text string) (note.Verifier, error) {
	verifier, err := note.NewVerifier(text)
	if err != nil {
		return nil, errors.New(
			"must be a verifier key of the form NAME+HASH+KEY, as `tenant-registry audit keygen` prints it",
		)
	}
	return verifier, nil
}

// openCheckpoint reads a checkpoint that this key signed, and its origin. The time is zero if it has none. Its errors
// repeat nothing of the text.
func openCheckpoint(text string, key note.Verifier) (origin string, c Checkpoint, err error) {
	opened, err := note.Open([]byte(text), note.VerifierList(key))
	if err != nil {
		return "", c, errors.New("is not signed with this key")
	}
	lines := strings.Split(strings.TrimSuffix(opened.Text, "\n"), "\n")
	if len(lines) < 3 || len(lines) > 4 {
		return "", c, errors.New("is no checkpoint")
	}
	var known bool
	if c.Head, known = parseHead(lines[1], lines[2]); !known {
		return "", c, errors.New("has no size or no hash")
	}
	if len(lines) == 4 {
		at, is := strings.CutPrefix(lines[3], "time ")
		if c.At, known = parseTime(at); !is || !known {
			return "", c, errors.New("has no time")
		}
	}
	return lines[0], c, nil
}

// parseHead reads a seq and a hash in base64, each in its one form.
func parseHead(seq, hash string) (ChainHead, bool) {
	n, err := strconv.ParseInt(seq, 10, 64)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != seq {
		return ChainHead{}, false
	}
	digest, err := base64.StdEncoding.Strict().DecodeString(hash)
	return ChainHead{Seq: n, Hash: hex.EncodeToString(digest)}, err == nil && len(digest) == 32
}

// parseTime reads a time in the one form in which it leaves the service.
func parseTime(text string) (time.Time, bool) {
	at, ok := timestamp.Parse(text)
	return at, ok && timestamp.Format(at) == text
}
