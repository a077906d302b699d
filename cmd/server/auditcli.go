package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/note"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/config"
)

// checkpointSigner reads AUDIT_SIGNING_KEY; without one there is no signer.
func checkpointSigner(key config.Secret) (note.Signer, error) {
	if !key.Set() {
		return nil, nil
	}
	signer, err := audit.NewSigner(key.Reveal())
	if err != nil {
		return nil, fmt.Errorf("AUDIT_SIGNING_KEY: %w", err)
	}
	return signer, nil
}

// auditCommand is what needs neither a server nor a database: it reads files and standard input only.
func auditCommand(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	switch {
	case len(args) >= 1 && args[0] == "verify":
		if v, ok := readVerify(args[1:]); ok {
			return fail(stderr, v.run(stdin, stdout))
		}
	case len(args) == 1 && args[0] == "keygen":
		return fail(stderr, keygen("tenant-registry", stdout))
	case len(args) == 2 && args[0] == "keygen":
		return fail(stderr, keygen(args[1], stdout))
	}
	fmt.Fprint(stderr, usage)
	return 2
}

// keygen prints a new key: the first line is for the server's environment, the second for auditors.
func keygen(name string, stdout io.Writer) error {
	private, verifier, err := audit.GenerateKey(name)
	if err != nil {
		return unusable{err}
	}
	_, err = fmt.Fprintf(stdout, "AUDIT_SIGNING_KEY=%s\nverifier key: %s\n", private, verifier)
	return err
}

// verifyCommand is what `audit verify` was asked to do.
type verifyCommand struct{ file, key, checkpoint string }

// readVerify reads the arguments; flags may stand before and after the file.
func readVerify(args []string) (verifyCommand, bool) {
	var v verifyCommand
	flags := flag.NewFlagSet("verify", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&v.key, "key", "", "")
	flags.StringVar(&v.checkpoint, "checkpoint", "", "")
	for len(args) > 0 {
		if flags.Parse(args) != nil {
			return v, false
		}
		if args = flags.Args(); len(args) > 0 {
			if v.file != "" || args[0] == "" {
				return v, false
			}
			v.file, args = args[0], args[1:]
		}
	}
	return v, v.file != "" && (v.checkpoint == "" || v.key != "")
}

func (v verifyCommand) run(stdin io.Reader, stdout io.Writer) error {
	var proof audit.Proof
	var err error
	if v.key != "" {
		if proof.Key, err = audit.NewVerifier(v.key); err != nil {
			return unusable{fmt.Errorf("-key: %w", err)}
		}
	}
	if v.checkpoint != "" {
		if proof.Checkpoint, err = readNote(v.checkpoint); err != nil {
			return err
		}
	}
	in := stdin
	if v.file != "-" {
		file, err := os.Open(v.file)
		if err != nil {
			return err
		}
		defer file.Close()
		in = file
	}
	found, err := audit.VerifyExport(in, proof)
	if err != nil {
		return fmt.Errorf("the export is not good: %w", err)
	}
	group := "the platform"
	if found.GroupID != uuid.Nil {
		group = found.GroupID.String()
	}
	_, err = fmt.Fprintf(stdout, "ok: %d events of %s, seq %d to %d, %s, as of %s\n",
		found.Count, group, found.First, found.Last, whereItEnds(found), found.Chain.At.Format(time.RFC3339Nano))
	return err
}

// whereItEnds says whether an export has all of its chain. All that is printed of the file are numbers, ids, hashes and
// times, which VerifyExport has found to have their one form.
func whereItEnds(found audit.VerifiedExport) string {
	if head := found.Chain.Head.Seq; found.Last < head {
		return fmt.Sprintf("ends before the head: %d of %d", found.Last, head)
	}
	return "head " + found.Head
}

// readNote reads a small file; one without anything in it would stand for no checkpoint at all.
func readNote(path string) (string, error) {
	const most = 64 << 10
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, most+1))
	if err == nil && (len(text) == 0 || len(text) > most) {
		err = errors.New("the checkpoint is not a signed note")
	}
	return string(text), err
}
