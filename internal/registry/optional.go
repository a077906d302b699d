package registry

import "github.com/breakpilot/tenant-registry/internal/violation"

// Optional is a member of a JSON merge patch: absent, null, or a value. The zero Optional is absent.
type Optional[T any] struct {
	Present bool // the patch has the member
	Null    bool // the member is null
	Value   T    // set if the member is present and not null
}

// Set returns an Optional with a value.
func Set[T any](value T) Optional[T] { return Optional[T]{Present: true, Value: value} }

// Null returns an Optional that removes the member.
func Null[T any]() Optional[T] { return Optional[T]{Present: true, Null: true} }

// notNull refuses null for a member that a merge patch cannot remove.
func (c *checks) notNull(pointer string, null bool) {
	if null {
		c.add(pointer, violation.NotNull)
	}
}

// apply replaces *member if the patch has it; null makes it the zero value.
func (o Optional[T]) apply(member *T) {
	if o.Present {
		*member = o.Value
	}
}
