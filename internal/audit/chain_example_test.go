package audit

import (
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Two events of one group. Each chain_hash is what `printf %s '…' | sha256sum` says of the text above it, which is
// printed here with a line break after each comma, and the prev_chain_hash of the second event is the chain_hash of the
// first. The hash within each text is Retraced's own; that of the first is over
// "00000000-0000-4000-8000-000000000001:document.create::user-1:00000000-0000-0000-0000-000000000001::0:0::".
func Example_chain() {
	at := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	var head ChainHead
	for i, action := range []string{"document.create", "folder.create"} {
		e := Event{
			ID:       uuid.MustParse(fmt.Sprintf("00000000-0000-4000-8000-%012d", i+1)),
			GroupID:  acme,
			Action:   action,
			CRUD:     Create,
			Actor:    Party{ID: "user-1"},
			Created:  at,
			Received: at.Add(1500 * time.Microsecond),
		}
		sealed := e.Seal()
		e = e.After(head, sealed)
		head = ChainHead{Seq: e.Seq, Hash: e.ChainHash}
		fmt.Printf("%s\nchain_hash %s\n", strings.ReplaceAll(string(e.Canonical()), ",", ",\n"), e.ChainHash)
	}
	// Output:
	// {"action":"document.create",
	// "actor":{"id":"user-1"},
	// "created":"2026-03-01T12:00:00.000000Z",
	// "crud":"c",
	// "group":{"id":"00000000-0000-0000-0000-000000000001"},
	// "hash":"32502767f7e45a0ac8ebe8199b4da738f91483c7baf09b1762aef03f8f69a02e",
	// "id":"00000000-0000-4000-8000-000000000001",
	// "is_anonymous":false,
	// "is_failure":false,
	// "prev_chain_hash":"0000000000000000000000000000000000000000000000000000000000000000",
	// "received":"2026-03-01T12:00:00.001500Z",
	// "seq":1}
	// chain_hash 4931551a52818363130d867dbd5cd6be3b7a6c6bec8b29a29269d21159a4831b
	// {"action":"folder.create",
	// "actor":{"id":"user-1"},
	// "created":"2026-03-01T12:00:00.000000Z",
	// "crud":"c",
	// "group":{"id":"00000000-0000-0000-0000-000000000001"},
	// "hash":"83dcfe78fd2ad6f1c6ff8e350acdd555516c430a1bf3e0ddd8626ab27eef3d01",
	// "id":"00000000-0000-4000-8000-000000000002",
	// "is_anonymous":false,
	// "is_failure":false,
	// "prev_chain_hash":"4931551a52818363130d867dbd5cd6be3b7a6c6bec8b29a29269d21159a4831b",
	// "received":"2026-03-01T12:00:00.001500Z",
	// "seq":2}
	// chain_hash 9ed3178e4d7a90e51e23c0e7e2f97f80edc311cd4eb34a076f9372532df5022e
}
