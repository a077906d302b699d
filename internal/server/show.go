package server

import (
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/server/web"
	"github.com/breakpilot/tenant-registry/internal/timestamp"
)

// pageOf shows a page of a list.
func pageOf[T, B any](p registry.Page[T], list string, show func(T) B) web.Page[B] {
	shown := web.Page[B]{Items: make([]B, len(p.Items))}
	for i, item := range p.Items {
		shown.Items[i] = show(item)
	}
	if p.Next != "" {
		next := web.SealCursor(list, p.Next)
		shown.NextCursor = &next
	}
	return shown
}

// scopeName names the tenant of a list in its cursors.
func scopeName(tenant *uuid.UUID) string {
	if tenant == nil {
		return "all"
	}
	return tenant.String()
}

// optional is nil for a text that is unset.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// optionalTime is nil for a time that is unset.
func optionalTime(t *time.Time) *string {
	if t == nil {
		return nil
	}
	return optional(timestamp.Format(*t))
}
