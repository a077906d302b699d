package registry

import (
	"net/netip"
	"regexp"
	"strings"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/timestamp"
	"github.com/breakpilot/tenant-registry/internal/violation"
)

// MaxEvent bounds an event that a caller sends, in bytes of its canonical JSON.
const MaxEvent = 16 << 10

var actionPattern = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)

// EventViolations lists the rules for reported events that e breaks.
func EventViolations(e audit.Event) []violation.Violation {
	var c checks
	switch {
	case e.Action == "":
		c.add("/action", violation.Required)
	case len(e.Action) > MaxID || !actionPattern.MatchString(e.Action):
		c.add("/action", violation.Action(MaxID))
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
	if strings.EqualFold(strings.TrimSpace(e.Component), component) {
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
