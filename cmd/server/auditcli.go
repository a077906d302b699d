package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

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
			return v.run(stdin, stdout, stderr)
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
type verifyCommand struct {
	files           []string
	key, checkpoint string
	part            bool
}

// readVerify reads the arguments; flags may stand before, between and after the files.
func readVerify(args []string) (verifyCommand, bool) {
	var v verifyCommand
	flags := flag.NewFlagSet("verify", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&v.key, "key", "", "")
	flags.StringVar(&v.checkpoint, "checkpoint", "", "")
	flags.BoolVar(&v.part, "part", false, "")
	for len(args) > 0 {
		if flags.Parse(args) != nil {
			return v, false
		}
		if args = flags.Args(); len(args) > 0 {
			if args[0] == "" {
				return v, false
			}
			v.files, args = append(v.files, args[0]), args[1:]
		}
	}
	return v, len(v.files) > 0 && (v.checkpoint == "" || v.key != "")
}

// run prints the verdict on each file on a line of its own, and returns the worst as the exit code: a fault is worse
// than what cannot be read, and that is worse than what is unproven.
func (v verifyCommand) run(stdin io.Reader, stdout, stderr io.Writer) int {
	proof, err := v.proof()
	if err != nil {
		return fail(stderr, unusable{err})
	}
	worst := audit.OK
	for _, name := range v.files {
		verdict := verifyFile(name, stdin, proof)
		if worst == audit.OK || verdict.Status != audit.OK && verdict.Status < worst {
			worst = verdict.Status
		}
		text := verdict.Text
		if len(v.files) > 1 {
			text = name + ": " + text
		}
		if _, err := fmt.Fprintln(stdout, printable(text)); err != nil {
			return fail(stderr, err)
		}
	}
	return int(worst)
}

// proof is what the files are verified against.
func (v verifyCommand) proof() (proof audit.Proof, err error) {
	proof.Part = v.part
	if v.key != "" {
		if proof.Key, err = audit.NewVerifier(v.key); err != nil {
			return proof, fmt.Errorf("-key: %w", err)
		}
	}
	if v.checkpoint != "" {
		if proof.Checkpoint, err = readNote(v.checkpoint); err != nil {
			return proof, fmt.Errorf("-checkpoint: %w", err)
		}
	}
	return proof, nil
}

// verifyFile is the verdict on one file.
func verifyFile(name string, stdin io.Reader, proof audit.Proof) audit.Verdict {
	if name == "-" {
		return audit.VerifyExport(stdin, proof)
	}
	file, err := os.Open(name)
	if err != nil {
		return audit.Verdict{Status: audit.Unreadable, Text: fmt.Sprintf("cannot be read: %v", err)}
	}
	defer file.Close()
	return audit.VerifyExport(file, proof)
}

// printable is a text in which a question mark stands for what a terminal would not print: names of files, which may
// come with the files, are in it.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
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
		err = errors.New("the file is not a signed note")
	}
	return string(text), err
}
