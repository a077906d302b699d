package server

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

func (s *Server) apiKey(c *call) (answer, error) {
	id, err := c.pathID()
	if err != nil {
		return answer{}, err
	}
	k, err := s.registry.APIKey(c.ctx, c.by, id)
	return keyAnswer(k), err
}

func keyAnswer(k registry.APIKey) answer {
	return answer{status: http.StatusOK, etag: keyTag(k.ID, strconv.FormatInt(k.Version, 10)), body: keyOf(k)}
}

func keyTag(id uuid.UUID, version string) string { return fmt.Sprintf(`"%s-%s"`, id, version) }

// keyPatch is the body of PATCH /v1/api-keys/{id}.
type keyPatch struct {
	Name      patched[string]     `json:"name"`
	Scopes    patched[[]wireText] `json:"scopes"`
	ExpiresAt wireChange          `json:"expires_at"`
	Disabled  patched[bool]       `json:"disabled"`
}

// patched is a member of a patch that may be absent, but cannot be taken away: null is refused.
type patched[T any] struct{ value *T }

// UnmarshalJSONFrom reads a T.
func (p *patched[T]) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() == 'n' {
		if err := d.SkipValue(); err != nil {
			return err
		}
		return inputError("must be " + typeName(reflect.TypeFor[T]()))
	}
	p.value = new(T)
	return json.UnmarshalDecode(d, p.value)
}

// wireChange is a time of RFC 3339 where null means that there is to be none.
type wireChange struct {
	wireTime
	null bool
}

// UnmarshalJSONFrom reads a time or null.
func (m *wireChange) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	m.null = d.PeekKind() == 'n'
	return m.wireTime.UnmarshalJSONFrom(d)
}

func (s *Server) updateAPIKey(c *call) (answer, error) {
	id, err := c.pathID()
	if err != nil {
		return answer{}, err
	}
	var in keyPatch
	if err := c.decode(&in); err != nil {
		return answer{}, err
	}
	change := registry.KeyChange{
		Name: in.Name.value, ExpiresAt: in.ExpiresAt.Time, NoExpiry: in.ExpiresAt.null, Disabled: in.Disabled.value,
		IfVersion: versions(c.r.Header, id),
	}
	if in.Scopes.value != nil {
		change.Scopes = textList(*in.Scopes.value)
	}
	k, err := s.registry.UpdateAPIKey(c.ctx, c.by, id, change)
	return keyAnswer(k), err
}

// versions are those of a key that If-Match names, by the strong comparison of RFC 9110; nil if any will do.
func versions(h http.Header, id uuid.UUID) []int64 {
	given, present := h["If-Match"]
	if !present {
		return nil
	}
	named := []int64{}
	for tag := range strings.SplitSeq(strings.Join(given, ","), ",") {
		tag = strings.TrimSpace(tag)
		if tag == "*" {
			return nil
		}
		version, ok := strings.CutPrefix(strings.Trim(tag, `"`), id.String()+"-")
		n, err := strconv.ParseInt(version, 10, 64)
		if ok && err == nil && tag == keyTag(id, strconv.FormatInt(n, 10)) {
			named = append(named, n)
		}
	}
	return named
}

// rotation is the body of POST /v1/api-keys/{id}/rotate.
type rotation struct {
	OverlapSeconds wireCount `json:"overlap_seconds"`
}

// wireCount is a whole number; null is absent.
type wireCount struct{ *int64 }

const countRule = "must be a whole number"

// UnmarshalJSONFrom reads a number without a point or an exponent, or null.
func (n *wireCount) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	switch d.PeekKind() {
	case 'n':
		return d.SkipValue()
	case '0':
	default:
		if err := d.SkipValue(); err != nil {
			return err
		}
		return inputError(countRule)
	}
	token, err := d.ReadToken()
	if err != nil {
		return err
	}
	count, err := strconv.ParseInt(token.String(), 10, 64)
	if err != nil {
		return inputError(countRule)
	}
	n.int64 = &count
	return nil
}

func (s *Server) rotateAPIKey(c *call) (answer, error) {
	id, err := c.pathID()
	if err != nil {
		return answer{}, err
	}
	var in rotation
	if len(c.body) > 0 {
		if err := c.decode(&in); err != nil {
			return answer{}, err
		}
	}
	k, text, err := s.registry.RotateAPIKey(c.ctx, c.by, id, in.OverlapSeconds.int64)
	a := keyAnswer(k)
	a.body = createdKeyOf(k, text)
	return a, err
}

// selfRevocation is the body of POST /v1/api-keys/self-revoke.
type selfRevocation struct {
	Key *string `json:"key"`
}

// selfRevokePace is what answers to self-revoke wait for: they come at whole multiples of it after the request, so that they tell nothing by
// their time, either.
const selfRevokePace = 100 * time.Millisecond

// selfRevoke answers the same whatever the key was. Only a store that cannot answer is told, and only to those whose text has a key's
// checksum, which anybody can compute.
func (s *Server) selfRevoke(c *call) (answer, error) {
	began := time.Now()
	if !s.limits.holder(c.by.SourceIP) {
		return answer{}, tooMany
	}
	var in selfRevocation
	if err := c.decode(&in); err != nil {
		return answer{}, err
	}
	if in.Key == nil {
		return answer{}, invalid(registry.Violation{Pointer: "/key", Message: "is required"})
	}
	err := s.registry.SelfRevoke(c.ctx, c.by, *in.Key)
	pace(c.ctx, began)
	return answer{status: http.StatusNoContent}, err
}

func pace(ctx context.Context, began time.Time) {
	timer := time.NewTimer(selfRevokePace - time.Since(began)%selfRevokePace)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
