package audit

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/note"
)

// SignCheckpoint signs where a group's chain stands: a C2SP checkpoint in a C2SP signed note, whose origin is
// "tenant-registry/" and the group's id.
func SignCheckpoint(signer note.Signer, group uuid.UUID, head ChainHead) (string, error) {
	text, err := note.Sign(&note.Note{Text: checkpointText(group, head)}, signer)
	return string(text), err
}

func checkpointText(group uuid.UUID, head ChainHead) string {
	hash, err := hex.DecodeString(head.Hash)
	if err != nil { // stores hold hashes
		panic(err)
	}
	return fmt.Sprintf("%s\n%d\n%s\n", checkpointOrigin(group), head.Seq, base64.StdEncoding.EncodeToString(hash))
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

// openCheckpoint reads a checkpoint of a group that this key signed.
func openCheckpoint(text string, key note.Verifier, group uuid.UUID) (ChainHead, error) {
	opened, err := note.Open([]byte(text), note.VerifierList(key))
	if err != nil {
		return ChainHead{}, errors.New("is not signed with this key")
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 {
		return ChainHead{}, errors.New("is no checkpoint")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return ChainHead{}, errors.New("has no size")
	}
	hash, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(hash) != 32 {
		return ChainHead{}, errors.New("has no hash")
	}
	if lines[0] != checkpointOrigin(group) {
		return ChainHead{}, errors.New("is of another chain")
	}
	return ChainHead{Seq: size, Hash: hex.EncodeToString(hash)}, nil
}
