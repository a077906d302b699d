package server

import (
	"encoding/hex"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// What products and portals read on every request of theirs is written by appending, for a fraction of what reflection costs. The
// general encoder writes the same bytes, which a test holds, and whatever is beyond jsonText.

// appender is a body that can append itself.
type appender interface {
	appendTo(*jsonText)
	general() any // the same for the general encoder
}

// jsonText is JSON in the making.
type jsonText struct {
	b      []byte
	beyond bool // a value was not of the kinds that are known here: b is of no use
}

var jsonTexts = sync.Pool{New: func() any { return &jsonText{b: make([]byte, 0, 2<<10)} }}

// encode returns the text of a body, which its user releases.
func encode(body any) (*jsonText, error) {
	j := jsonTexts.Get().(*jsonText)
	j.b, j.beyond = j.b[:0], false
	if a, ok := body.(appender); ok {
		if a.appendTo(j); !j.beyond {
			return j, nil
		}
		body = a.general()
	}
	var err error
	j.b, err = json.Marshal(body, json.Deterministic(true))
	return j, err
}

// release gives the text's memory to the next answer, unless it is more than answers need as a rule.
func (j *jsonText) release() {
	if cap(j.b) <= 64<<10 {
		jsonTexts.Put(j)
	}
}

// raw appends JSON as it is.
func (j *jsonText) raw(s string) { j.b = append(j.b, s...) }

// text appends a name or punctuation, and a string behind it.
func (j *jsonText) text(before, s string) {
	j.raw(before)
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, err := jsontext.AppendQuote(j.b, s)
			j.b, j.beyond = quoted, j.beyond || err != nil
			return
		}
	}
	j.b = append(append(append(j.b, '"'), s...), '"')
}

// textOrNull is text, with null for "".
func (j *jsonText) textOrNull(before, s string) {
	if s == "" {
		j.raw(before)
		j.raw("null")
		return
	}
	j.text(before, s)
}

func (j *jsonText) number(before string, n int64) {
	j.raw(before)
	j.b = strconv.AppendInt(j.b, n, 10)
}

func (j *jsonText) flag(before string, set bool) {
	j.raw(before)
	j.b = strconv.AppendBool(j.b, set)
}

func (j *jsonText) id(before string, id uuid.UUID) {
	j.raw(before)
	j.b = append(appendID(append(j.b, '"'), id), '"')
}

// appendID appends what uuid.UUID.String returns.
func appendID(b []byte, id uuid.UUID) []byte {
	b = hex.AppendEncode(b, id[0:4])
	for _, i := range []int{4, 6, 8} {
		b = hex.AppendEncode(append(b, '-'), id[i:i+2])
	}
	return hex.AppendEncode(append(b, '-'), id[10:])
}

// time is registry.FormatTime.
func (j *jsonText) time(before string, t time.Time) {
	j.raw(before)
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	if year < 0 || year > 9999 { // in no store, and not in RFC 3339
		j.text("", registry.FormatTime(t))
		return
	}
	j.b = append(j.b, '"')
	j.digits(year, 4, '-')
	j.digits(int(month), 2, '-')
	j.digits(day, 2, 'T')
	j.digits(hour, 2, ':')
	j.digits(minute, 2, ':')
	j.digits(second, 2, '.')
	j.digits(t.Nanosecond()/1000, 6, 'Z')
	j.b = append(j.b, '"')
}

// digits appends a number in so many digits, and what follows it.
func (j *jsonText) digits(n, width int, then byte) {
	var buffer [6]byte
	for i := width - 1; i >= 0; i-- {
		buffer[i] = byte('0' + n%10)
		n /= 10
	}
	j.b = append(append(j.b, buffer[:width]...), then)
}

func (j *jsonText) timeOrNull(before string, t *time.Time) {
	if t == nil {
		j.raw(before)
		j.raw("null")
		return
	}
	j.time(before, *t)
}

func (j *jsonText) texts(before string, list []string) {
	j.raw(before)
	j.raw("[")
	for i, s := range list {
		j.text(comma(i), s)
	}
	j.raw("]")
}

// comma is what stands before member or element i.
func comma(i int) string {
	if i == 0 {
		return ""
	}
	return ","
}

// dictionary appends a map in the order of its names, each value by what is given.
func dictionary[V any](j *jsonText, before string, m map[string]V, value func(*jsonText, V)) {
	j.raw(before)
	if len(m) == 0 { // as most are
		j.raw("{}")
		return
	}
	j.raw("{")
	var few [8]string
	names := few[:0]
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, name := range names {
		j.text(comma(i), name)
		j.raw(":")
		value(j, m[name])
	}
	j.raw("}")
}

func (j *jsonText) limit(n *int64) {
	if n == nil {
		j.raw("null")
		return
	}
	j.number("", *n)
}

func (j *jsonText) plainText(s string) { j.text("", s) }

// setting appends a value of a configuration, which is beyond this if it is an object, an array or no whole number.
func (j *jsonText) setting(value any) {
	const exact = 1 << 53
	switch v := value.(type) {
	case nil:
		j.raw("null")
	case string:
		j.text("", v)
	case bool:
		j.flag("", v)
	case float64:
		if v == math.Trunc(v) && v > -exact && v < exact && !(v == 0 && math.Signbit(v)) {
			j.number("", int64(v))
			return
		}
		j.beyond = true
	default:
		j.beyond = true
	}
}

// shownVerdict is verdictBody, appended.
type shownVerdict registry.Verdict

func (v *shownVerdict) general() any { return verdictOf(registry.Verdict(*v)) }

func (v *shownVerdict) appendTo(j *jsonText) {
	j.flag(`{"valid":`, v.Code == registry.Valid)
	j.text(`,"code":`, string(v.Code))
	if v.KeyID == uuid.Nil {
		j.raw(`,"key_id":null,"tenant":null,"environment":null,"scopes":null,"entitlement":null,"secret":null,"valid_until":null`)
	} else {
		j.id(`,"key_id":`, v.KeyID)
		j.id(`,"tenant":{"id":`, v.TenantID)
		j.text(`,"slug":`, v.TenantSlug)
		j.text(`,"status":`, string(v.TenantStatus))
		j.text(`},"environment":`, string(v.Environment))
		j.texts(`,"scopes":`, v.Scopes)
		j.raw(`,"entitlement":`)
		j.entitlement(v.Entitlement)
		j.text(`,"secret":`, string(v.Secret))
		j.timeOrNull(`,"valid_until":`, v.ValidUntil)
	}
	j.number(`,"max_age_seconds":`, int64(v.MaxAgeSeconds))
	j.raw("}")
}

// entitlement is entitlementBody, appended.
func (j *jsonText) entitlement(p *registry.ProductEntitlement) {
	if p == nil {
		j.raw("null")
		return
	}
	j.text(`{"product":`, p.Product)
	j.flag(`,"entitled":`, p.Entitled)
	j.text(`,"reason":`, string(p.Reason))
	j.textOrNull(`,"state":`, string(p.State))
	j.timeOrNull(`,"valid_until":`, p.ValidUntil)
	dictionary(j, `,"limits":`, p.Limits, (*jsonText).limit)
	dictionary(j, `,"config":`, p.Config, (*jsonText).setting)
	j.raw(`,"sources":[`)
	for i := range p.Sources {
		j.raw(comma(i))
		j.source(&p.Sources[i], p.At)
	}
	j.raw("]}")
}

// source is sourceBody, appended.
func (j *jsonText) source(e *registry.Entitlement, now time.Time) {
	j.id(`{"id":`, e.ID)
	j.id(`,"tenant_id":`, e.TenantID)
	j.text(`,"product":`, e.Product)
	j.text(`,"source":`, string(e.Source))
	j.text(`,"state":`, string(e.StateAt(now)))
	j.time(`,"starts_at":`, e.StartsAt)
	j.timeOrNull(`,"ends_at":`, e.EndsAt)
	j.timeOrNull(`,"revoked_at":`, e.RevokedAt)
	dictionary(j, `,"limits":`, e.Limits, (*jsonText).limit)
	dictionary(j, `,"config":`, e.Config, (*jsonText).setting)
	if e.RequestID == nil {
		j.raw(`,"request_id":null`)
	} else {
		j.id(`,"request_id":`, *e.RequestID)
	}
	j.time(`,"created_at":`, e.CreatedAt)
	j.time(`,"updated_at":`, e.UpdatedAt)
	j.raw("}")
}

// shownTenant is tenantBody, appended.
type shownTenant registry.Tenant

func (t *shownTenant) general() any { return tenantOf(registry.Tenant(*t)) }

func (t *shownTenant) appendTo(j *jsonText) {
	j.id(`{"id":`, t.ID)
	j.text(`,"slug":`, t.Slug)
	j.text(`,"name":`, t.Name)
	j.text(`,"status":`, string(t.Status))
	j.textOrNull(`,"region":`, t.Region)
	j.textOrNull(`,"external_id":`, t.ExternalID)
	j.textOrNull(`,"keycloak_org_id":`, t.KeycloakOrgID)
	dictionary(j, `,"metadata":`, t.Metadata, (*jsonText).plainText)
	j.number(`,"version":`, t.Version)
	j.time(`,"created_at":`, t.CreatedAt)
	j.time(`,"updated_at":`, t.UpdatedAt)
	j.timeOrNull(`,"activated_at":`, t.ActivatedAt)
	j.timeOrNull(`,"frozen_at":`, t.FrozenAt)
	j.raw("}")
}
