package registry

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/google/uuid"
	"golang.org/x/text/unicode/norm"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/timestamp"
	"github.com/breakpilot/tenant-registry/internal/violation"
)

// MaxEvent bounds an event that a caller sends, in bytes of the canonical JSON of its parts.
const MaxEvent = 16 << 10

// ownAreas are those of this service's own events, which no one reports: what is in them, this service has seen.
var ownAreas = []string{"tenant", "api_key", "entitlement", "catalog", "product", "token", "function", "audit"}

var actionPattern = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)

// EventViolations lists the rules for reported events that e breaks.
func EventViolations(e audit.Event) []violation.Violation {
	var c checks
	switch {
	case e.Action == "":
		c.add("/action", violation.Required)
	case len(e.Action) > MaxID || !actionPattern.MatchString(e.Action):
		c.add("/action", violation.Action(MaxID))
	case slices.Contains(ownAreas, strings.ToLower(e.Area())):
		c.add("/action", violation.OwnAreas(ownAreas))
	case HoldsCredential(e.Action):
		c.add("/action", violation.NoCredential)
	}
	switch e.CRUD {
	case audit.Create, audit.Read, audit.Update, audit.Delete:
	case "":
		c.add("/crud", violation.Required)
	default:
		c.add("/crud", violation.OneOf("c", "r", "u", "d"))
	}
	if e.GroupID == uuid.Nil && e.GroupName != "" {
		c.add("/group/id", violation.Required)
	}
	c.optionalLine("/group/name", e.GroupName, MaxName)
	if !e.Actor.Present() && !e.IsAnonymous {
		c.add("/actor", violation.ActorRequired)
	}
	c.party("/actor", e.Actor)
	c.party("/target", e.Target)
	if addr, err := netip.ParseAddr(e.SourceIP); e.SourceIP != "" && (err != nil || addr.Zone() != "") {
		c.add("/source_ip", violation.IPAddress)
	}
	c.text("/description", e.Description, MaxText)
	c.fields("/fields", e.Fields)
	c.optionalLine("/component", e.Component, MaxName)
	if looksLikeComponent(e.Component) {
		c.add("/component", violation.OwnComponent)
	}
	c.optionalLine("/version", e.Version, MaxName)
	c.optionalLine("/external_id", e.ExternalID, MaxID)
	c.metadata("/metadata", e.Metadata)
	c.optionalLine("/correlation_id", e.CorrelationID, MaxID)
	if !e.Created.IsZero() && (e.Created.UTC().Year() < 1970 || e.Created.UTC().Year() > timestamp.MaxYear) {
		c.add("/created", violation.Years)
	}
	if len(c.found) == 0 && e.Exceeds(MaxEvent) {
		c.add("", violation.JSONBytes(MaxEvent))
	}
	return c.found
}

// looksLikeComponent reports whether people could take a text for the name of this service: it has the same letters,
// whatever their form, case and accents and what is between them, or others in their places that may look like them, as
// all beyond ASCII may.
func looksLikeComponent(text string) bool {
	letters := func(text string) (all []rune) {
		for _, r := range norm.NFKD.String(text) {
			invisible := unicode.Is(unicode.Lm, r) || unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r)
			if unicode.IsLetter(r) && !invisible || unicode.IsDigit(r) || r == '|' || r == '!' {
				all = append(all, unicode.ToLower(r))
			}
		}
		return all
	}
	got, own, same := letters(text), letters(component), 0
	if len(got) != len(own) {
		return false
	}
	for i, r := range got {
		switch {
		case r == own[i] || own[i] == 'i' && strings.ContainsRune("1l|!", r):
			same++
		case r <= unicode.MaxASCII:
			return false
		}
	}
	return same > 0 // else it is a word of another script
}

func (c *checks) party(pointer string, p audit.Party) {
	if p.ID == "" {
		if p.Present() {
			c.add(pointer+"/id", violation.Required)
		}
		return
	}
	c.line(pointer+"/id", p.ID, MaxID)
	c.optionalLine(pointer+"/name", p.Name, MaxName)
	c.optionalLine(pointer+"/href", p.Href, MaxText)
	c.optionalLine(pointer+"/type", p.Type, MaxName)
	c.fields(pointer+"/fields", p.Fields)
}

func (c *checks) fields(pointer string, m map[string]string) {
	c.stringMap(pointer, m, mapLimits{MaxFields, MaxID, MaxEvent})
}
