package registry

import (
	"context"
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

// zeroHash is the predecessor of a chain's first event.
var zeroHash = strings.Repeat("0", 64)

// hash is the chain hash of the newest event, or 64 zeros.
func (h ChainHead) hash() string {
	if h.Seq == 0 {
		return zeroHash
	}
	return h.Hash
}

// Chain tells where a group's chain stands, with 64 zeros for the hash if it is empty. No group means the platform's, for an operator.
func (s *Service) Chain(ctx context.Context, by Caller, group *uuid.UUID) (ChainHead, error) {
	if err := by.Scope.audit(group); err != nil {
		return ChainHead{}, err
	}
	id := groupOf(group)
	head, err := s.store.AuditChain(ctx, id)
	if err == nil && head.Seq == 0 {
		err = s.knownGroup(ctx, id)
	}
	if err != nil {
		return ChainHead{}, err
	}
	return ChainHead{Seq: head.Seq, Hash: head.hash()}, nil
}

// groupOf is the group that was asked for; the platform's own if none was.
func groupOf(group *uuid.UUID) uuid.UUID {
	if group == nil {
		return uuid.Nil
	}
	return *group
}

// Checkpoint is where a group's chain stands, signed: a C2SP checkpoint in a C2SP signed note, whose origin is "tenant-registry/" and
// the group's id. It is CodeNoCheckpoints if there is no key.
func (s *Service) Checkpoint(ctx context.Context, by Caller, group *uuid.UUID) (string, error) {
	head, err := s.Chain(ctx, by, group)
	if err != nil {
		return "", err
	}
	if s.signer == nil {
		return "", &Error{Kind: NotFound, Code: CodeNoCheckpoints, Detail: "This service has no key to sign checkpoints with."}
	}
	return s.sign(groupOf(group), head)
}

func (s *Service) sign(group uuid.UUID, head ChainHead) (string, error) {
	text, err := note.Sign(&note.Note{Text: checkpointText(group, head)}, s.signer)
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

// NewSigner reads a private key as NewSigningKey makes it. Its error does not repeat the key.
func NewSigner(private string) (note.Signer, error) {
	signer, err := note.NewSigner(private)
	if err != nil {
		return nil, errors.New("must be a private key of the form PRIVATE+KEY+…, as `tenant-registry audit keygen` prints it")
	}
	return signer, nil
}

// NewSigningKey makes a key for checkpoints, and the text by which others verify what it signs. A name has no blank and no plus sign.
func NewSigningKey(name string) (private, verifier string, err error) {
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
		return nil, errors.New("must be a verifier key of the form NAME+HASH+KEY, as `tenant-registry audit keygen` prints it")
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
