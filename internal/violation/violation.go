// Package violation says which member or parameter of a request breaks which rule. Its messages are part of the API:
// one template for each kind of fault, in the field's verbs. None repeats what was sent.
package violation

import (
	"fmt"
	"strings"
)

// Violation names one member of the input and what is allowed there.
type Violation struct {
	Pointer   string // RFC 6901, "/metadata/team"; empty if Parameter is set
	Parameter string // the name of a query, path or header parameter
	Message   string // what is allowed, never what was sent
}

// Messages without values.
const (
	Required        = "is required"
	Duplicate       = "duplicate: must be sent once"
	TrailingData    = "trailing data after the JSON object"
	TooDeep         = "is nested too deeply"
	NoBody          = "no body is allowed"
	JSONObject      = "must be a JSON object"
	ValidJSON       = "must be valid JSON in UTF-8"
	NoNUL           = "must not contain NUL"
	NotBlank        = "must not be blank"
	NotNull         = "must not be null"
	ValidUTF8       = "must be valid UTF-8"
	UTF8WithoutNUL  = "must be valid UTF-8 without NUL"
	Readable        = "must not contain control, bidirectional or zero-width characters"
	NoCredential    = "must not contain a credential: an API key or a token"
	WholeNumber     = "must be a whole number"
	PercentEncoded  = "must be percent-encoded; parameters are joined by '&'"
	UUID            = "must be a UUID of 36 characters, such as 00000000-0000-0000-0000-000000000001"
	Timestamp       = "must be a time of RFC 3339, such as 2026-01-31T12:00:00Z"
	TimestampPlus   = "must be a time of RFC 3339; in a query '+' is written %2B"
	Years           = "must be in the years 1970 to 9999"
	OwnCursor       = "must be the next_cursor of a page of this list, in this order"
	TenantID        = "must be the id of a tenant"
	NewKeyPerCall   = "must be a new key for every command"
	FutureTimestamp = "must be in the future, and before the year 10000"
	Scope           = "must be 1 to 64 of a-z, 0-9, ':', '.', '_' and '-', beginning with a letter or digit"
	ProductKey      = "must be 2 to 63 of a-z, 0-9 and '-', beginning with a letter or digit"
	Slug            = "must be 3 to 63 of a-z, 0-9 and '-', with no '-' at either end"
	SlugPunycode    = "must not begin with xn--"
	Reserved        = "is reserved"
	ActionFilter    = "must be an action, or its first segment and '.*'"
	CursorGone      = "names an event that is not in the log: begin without a cursor"
	LinesAscending  = "must be asc for application/x-ndjson"
	NamesSubject    = "must not name a subject: it stays in the log"
	ActorRequired   = "is required unless is_anonymous is true"
	IPAddress       = "must be an IPv4 or IPv6 address without a zone"
	OwnComponent    = "must not be, or look like, the name of this service"
	PlatformReports = "is required: only operators report events of the platform itself"
	TrialDays       = "must be from 1 to 3650, or null for no trial"
	AfterStart      = "must be after available_from"
	BeyondChain     = "must not be beyond the end of the chain"
	BeforeExport    = "must not be before the start of the export"
	VisibleASCII    = "must be sent once, with 1 to 200 visible ASCII characters without spaces"
	Visible         = "must be sent once, with 1 to 200 visible characters"
)

// UnknownMember is the message of a member that is not allowed; allowed lists those that are.
func UnknownMember(allowed string) string { return "unknown member; allowed: " + allowed }

// UnknownParameter is the message of a parameter that is not allowed; allowed lists those that are.
func UnknownParameter(allowed []string) string {
	if len(allowed) == 0 {
		return "unknown parameter; allowed: none"
	}
	return "unknown parameter; allowed: " + strings.Join(allowed, ", ")
}

// OwnAreas is the message of an action in an area that this service alone writes events of.
func OwnAreas(areas []string) string {
	return "must not be in an area of this service's own events: " + strings.Join(areas, ", ")
}

// OneOf is the message of a value that is none of those allowed.
func OneOf(allowed ...string) string { return "must be one of " + strings.Join(allowed, ", ") }

// Range is the message of a whole number that is not from least to most.
func Range(least, most int64) string {
	return fmt.Sprintf("must be a whole number from %d to %d", least, most)
}

// Length is the message of a text that has not 1 to most characters.
func Length(most int) string { return fmt.Sprintf("must have 1 to %d characters", most) }

// AtMost is the message of something that has more than most of a unit, such as "characters".
func AtMost(most int, unit string) string { return fmt.Sprintf("must have at most %d %s", most, unit) }

// JSONBytes is the message of a JSON text of more than most bytes.
func JSONBytes(most int) string {
	return fmt.Sprintf("must have at most %d bytes as canonical JSON", most)
}

// Name is the message of a member whose name has not 1 to most visible characters.
func Name(most int) string {
	return fmt.Sprintf("must have a name of 1 to %d visible characters", most)
}

// Count is the message of a list that has not 1 to most of a unit, such as "events".
func Count(most int, unit string) string { return fmt.Sprintf("must have 1 to %d %s", most, unit) }

// Action is the message of an action that is malformed.
func Action(most int) string {
	return fmt.Sprintf("must be segments of letters, digits, '_' and '-' joined by '.', at most %d characters", most)
}

// Type is the message of a value of another type; what is the one that is allowed, such as "a string".
func Type(what string) string { return "must be " + what }

// Requires is the message of a parameter that is sent without another one.
func Requires(other string) string { return "requires " + other }

// NotCombinable is the message of a parameter that is sent together with another one.
func NotCombinable(other string) string { return "cannot be combined with " + other }

// NotAllowed is the message of a header or member that the caller may not send; who may is "callers with the role
// portal".
func NotAllowed(who string) string { return "is not allowed but for " + who }
