package migrate

import (
	"context"
	"fmt"
)

// Outcome says what became of the file that a dirty schema was left by.
type Outcome int

// The outcomes.
const (
	Unknown    Outcome = iota // it cannot be told: the file ran outside a transaction, or another tool ran it
	RolledBack                // the file failed or its session ended, and nothing of it is there
	Committed                 // the file is there whole; only the process did not live to record it
)

// DirtyError says that a change began whose end is not recorded. Force with a version out of Choices, and then Up,
// fixes it.
type DirtyError struct {
	Version uint    // the version the change led to
	Outcome Outcome // what became of it
	Choices []uint  // the version whose objects are there; if Outcome is Unknown, Version and the one it came from
	Cause   string  // why the file failed, if it failed just now
}

// Error is one sentence, without the commands that fix it.
func (e *DirtyError) Error() string {
	text := fmt.Sprintf("the schema is dirty at version %d", e.Version)
	switch e.Outcome {
	case RolledBack:
		text += fmt.Sprintf(
			": the migration to it failed or was cut off and was rolled back, so the objects of version %d are there",
			e.Choices[0],
		)
	case Committed:
		text += ": the migration to it was committed, but was cut off before it could record that"
	default:
		text += ", and whether the migration to it was committed cannot be told from here"
	}
	if e.Cause != "" {
		text += ": " + e.Cause
	}
	return text
}

// diagnose says what became of the change that left the schema dirty. No session may be working on it any more.
func (s *session) diagnose(ctx context.Context, at State, cause error) error {
	there, err := record(ctx, s.conn, s.table)
	if err != nil {
		return err
	}
	dirty := &DirtyError{Version: at.Version, Choices: there}
	if cause != nil {
		dirty.Cause = sentence(cause)
	}
	switch {
	case len(there) == 2:
	case len(there) == 1 && there[0] == at.Version:
		dirty.Outcome = Committed
	case len(there) == 1 && (there[0]+1 == at.Version || there[0] == at.Version+1):
		dirty.Outcome = RolledBack
	default:
		dirty.Choices = []uint{at.Version, max(at.Version, 1) - 1}
	}
	return dirty
}
