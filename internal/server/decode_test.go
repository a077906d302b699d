package server

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
)

// slowBody is a body whose second half comes late.
type slowBody struct {
	halves []string
	late   time.Duration
}

func (b *slowBody) Read(p []byte) (int, error) {
	if len(b.halves) == 0 {
		return 0, io.EOF
	}
	if len(b.halves) == 1 {
		time.Sleep(b.late)
	}
	n := copy(p, b.halves[0])
	b.halves = b.halves[1:]
	return n, nil
}

// A client that takes longer to send its body than a call of the store may take is served: the deadline is the store's,
// not the client's.
func TestBody_mayBeSlowerThanTheStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const body = `{"slug":"globex","name":"Globex"}`
		api := New(Config{
			Registry: registry.New(memory.New(), registry.Options{}), Auth: everyoneIsOperator{},
			CallTimeout: 200 * time.Millisecond,
			Logger:      slog.New(slog.DiscardHandler),
		})
		r := httptest.NewRequest(http.MethodPost, "/v1/tenants", &slowBody{[]string{body[:5], body[5:]}, time.Minute})
		r.ContentLength = int64(len(body))
		r.Header.Set("Content-Type", "application/json")
		w, began := httptest.NewRecorder(), time.Now()
		api.ServeHTTP(w, r)
		if w.Code != http.StatusCreated || !strings.Contains(w.Body.String(), "globex") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if time.Since(began) < time.Minute {
			t.Error("the body was not slow")
		}
	})
}
