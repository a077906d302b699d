package auth_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/breakpilot/tenant-registry/internal/auth"
	"github.com/breakpilot/tenant-registry/internal/auth/authtest"
)

// watched is an issuer in memory that notes when its key set was asked for.
type watched struct {
	*authtest.Issuer
	mu    sync.Mutex
	times []time.Time
}

func watch() *watched { return &watched{Issuer: authtest.NewInMemory()} }

func (w *watched) RoundTrip(r *http.Request) (*http.Response, error) {
	if w.KeysURL() == r.URL.String() {
		w.mu.Lock()
		w.times = append(w.times, time.Now())
		w.mu.Unlock()
	}
	return w.Issuer.RoundTrip(r)
}

// fetches are the instants so far.
func (w *watched) fetches() []time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]time.Time(nil), w.times...)
}

func (w *watched) start(t *testing.T) *auth.OIDC {
	o := start(t, w.Issuer, func(c *auth.OIDCConfig) { c.HTTPTransport = w })
	synctest.Wait()
	return o
}

// most is the largest number of instants within any minute.
func most(times []time.Time) int {
	largest := 0
	for n, from := range times {
		within := 0
		for _, at := range times[n:] {
			if at.Sub(from) < time.Minute {
				within++
			}
		}
		largest = max(largest, within)
	}
	return largest
}

// bad returns the n-th of many tokens that no key verifies: of an unknown key, or of a known one with a signature that
// is wrong.
func bad(i *authtest.Issuer, n int) string {
	kid := "unknown"
	if n%2 == 1 {
		kid = i.KeyID()
	}
	claims := i.Claims(auth.RoleOperator)
	claims["jti"] = n
	return part(map[string]any{"alg": "RS256", "kid": kid}) + "." + part(claims) + "." + strings.Repeat("A", 342)
}

// notAccepted fails the test unless the n-th bad token is refused, or not decided if a newer key may have signed it.
func notAccepted(t *testing.T, o *auth.OIDC, i *authtest.Issuer, n int) {
	t.Helper()
	_, err := o.Authenticate(bearer(bad(i, n)))
	no, is := errors.AsType[*auth.Refused](err)
	switch {
	case n%2 == 1 && (!is || no.Kind != auth.KindBadSignature),
		n%2 == 0 && !isUnavailable(err) && (!is || no.Kind != auth.KindUnknownKey):
		t.Fatalf("bad token %d: %v", n, err)
	}
}

func TestFloodMakesTwoFetchesAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := watch()
		o := w.start(t)
		for n := range 1000 {
			notAccepted(t, o, w.Issuer, n)
			time.Sleep(59 * time.Millisecond)
		}
		if n := len(w.fetches()); n > 2 {
			t.Errorf("%d fetches in the first minute", n)
		}
		for n := range 1000 {
			notAccepted(t, o, w.Issuer, n)
			time.Sleep(time.Second / 3)
		}
		times := w.fetches()
		if n := most(times); n > 2 {
			t.Errorf("%d fetches in a minute", n)
		}
		if len(times) < 6 {
			t.Errorf("only %d fetches in six minutes: the set is not renewed", len(times))
		}
	})
}

// TestFloodControl shows what the throttle is for: go-oidc's own key set asks the issuer for each bad token.
func TestFloodControl(t *testing.T) {
	t.Parallel()
	w := watch()
	keys := oidc.NewRemoteKeySet(oidc.ClientContext(context.Background(), &http.Client{Transport: w}), w.KeysURL())
	verifier := oidc.NewVerifier(w.URL(), keys, &oidc.Config{ClientID: authtest.Audience})
	for n := range 20 {
		if _, err := verifier.Verify(context.Background(), bad(w.Issuer, n)); err == nil {
			t.Fatal("a bad token was accepted")
		}
	}
	if n := len(w.fetches()); n < 20 {
		t.Errorf("%d fetches for 20 bad tokens: the control shows no harm any more", n)
	}
}

func TestFloodAtOnceSharesAFetch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := watch()
		o := w.start(t)
		w.Hang()
		began := time.Now()
		var all sync.WaitGroup
		for n := range 50 {
			all.Go(func() {
				if after := unavailable(t, o, bearer(bad(w.Issuer, 2*n))); after != 3*time.Second {
					t.Errorf("retry after %s, want 3 s, when the fetch has ended", after)
				}
			})
		}
		accepted(t, o, w.Sign(w.Claims()))
		refusedAs(t, o, auth.KindBadSignature, bearer(bad(w.Issuer, 1)))
		if time.Since(began) != 0 {
			t.Error("a token of a known key waits for the issuer")
		}
		all.Wait()
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("tokens of an unknown key wait %s for a hanging issuer, want 2 s", took)
		}
		if n := len(w.fetches()); n != 2 {
			t.Errorf("%d fetches, want the first and one that all share", n)
		}
		w.Answer(nil)
		w.Rotate()
		time.Sleep(4 * time.Second) // the fetch fails, and the pause after the first failure
		accepted(t, o, w.Sign(w.Claims()))
	})
}

// TestFetchWithoutChange holds that bad tokens cannot make the good ones be forgotten.
func TestFetchWithoutChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := watch()
		o := w.start(t)
		good := w.Sign(w.Claims(auth.RoleOperator))
		before := &accepted(t, o, good).Roles[0]
		refused(t, o, bearer(bad(w.Issuer, 0)))
		if n := len(w.fetches()); n != 2 {
			t.Fatalf("%d fetches, want 2", n)
		}
		if before != &accepted(t, o, good).Roles[0] {
			t.Error("an unchanged key set makes verified tokens be forgotten")
		}
	})
}

func TestRotation(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{"RS256", "PS256", "ES256", "ES384", "EdDSA"} {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := watch()
				o := w.start(t)
				old := w.Sign(w.Claims())
				accepted(t, o, old) // and is remembered
				w.RotateTo(alg)
				began := time.Now()
				accepted(t, o, w.Sign(w.Claims()))
				if took := time.Since(began); took != 0 {
					t.Errorf("a rotation is noticed after %s", took)
				}
				refusedAs(t, o, auth.KindUnknownKey, bearer(old)) // though the set may not be fetched: it was withdrawn
			})
		})
	}
}

// TestRotationInPlace asserts that another key under a known kid, which Keycloak never has, is noticed at the next
// renewal, and not before: otherwise bad signatures under a known kid would make fetches.
func TestRotationInPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := watch()
		o := w.start(t)
		w.RotateInPlace()
		refusedAs(t, o, auth.KindBadSignature, bearer(w.Sign(w.Claims())))
		time.Sleep(5*time.Minute + time.Second)
		synctest.Wait()
		accepted(t, o, w.Sign(w.Claims()))
	})
}

// TestKeyForAnotherAlgorithm asserts that a key which is now for another algorithm is noticed at once: its kid stays.
func TestKeyForAnotherAlgorithm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := watch()
		o := w.start(t)
		old := w.Sign(w.Claims())
		accepted(t, o, old)
		w.Repurpose("PS256")
		accepted(t, o, w.Sign(w.Claims()))
		unavailable(t, o, bearer(old)) // the set may not be fetched now
		time.Sleep(time.Minute)
		refusedAs(t, o, auth.KindUnknownKey, bearer(old))
	})
}

// TestBadSignaturesCostNoFetch asserts that a flood of tokens with a known kid neither reaches the issuer nor keeps a
// rotation from being noticed at once.
func TestBadSignaturesCostNoFetch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := watch()
		o := w.start(t)
		for n := range 1000 {
			refusedAs(t, o, auth.KindBadSignature, bearer(bad(w.Issuer, 2*n+1)))
		}
		if n := len(w.fetches()); n != 1 {
			t.Errorf("%d fetches, want the first one only", n)
		}
		w.Rotate()
		accepted(t, o, w.Sign(w.Claims()))
	})
}

// TestRotationInAFlood asserts that while the set may not be fetched, a token of a new key is not decided, and that it
// is accepted when the answer says it can be.
func TestRotationInAFlood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := watch()
		o := w.start(t)
		for n := range 100 {
			notAccepted(t, o, w.Issuer, n)
			time.Sleep(time.Second)
		}
		w.Rotate()
		after := unavailable(t, o, bearer(w.Sign(w.Claims())))
		if after > time.Minute {
			t.Errorf("retry after %s, want a minute at most", after)
		}
		time.Sleep(after - time.Nanosecond)
		unavailable(t, o, bearer(w.Sign(w.Claims())))
		time.Sleep(time.Nanosecond)
		accepted(t, o, w.Sign(w.Claims()))
		if n := most(w.fetches()); n > 2 {
			t.Errorf("%d fetches in a minute", n)
		}
	})
}

// TestTokenOlderThanTheSet asserts that a token which was issued before the set was asked for is refused at once: all
// keys that there were then are known.
func TestTokenOlderThanTheSet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := watch()
		claims := w.Claims()
		time.Sleep(leeway + time.Second)
		o := w.start(t)
		forged := w.Forge(claims)
		for range 100 {
			refusedAs(t, o, auth.KindUnknownKey, bearer(forged))
		}
		if n := len(w.fetches()); n != 1 {
			t.Errorf("%d fetches, want the first one only", n)
		}
		claims["iat"] = claims["iat"].(int64) + 2 // within what the clocks may differ by
		refused(t, o, bearer(w.Forge(claims)))
		if n := len(w.fetches()); n != 2 {
			t.Errorf("%d fetches, want one for a token that may be newer than the set", n)
		}
		time.Sleep(time.Minute)
		delete(claims, "iat")
		refused(t, o, bearer(w.Forge(claims)))
		if n := len(w.fetches()); n != 3 {
			t.Errorf("%d fetches, want one for a token that does not say when it was issued", n)
		}
	})
}

func TestWithdrawnKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := watch()
		o := w.start(t)
		claims := w.Claims()
		claims["exp"] = time.Now().Add(time.Hour).Unix()
		stolen := w.Sign(claims)
		accepted(t, o, stolen)
		w.Rotate()
		time.Sleep(5*time.Minute + time.Second)
		synctest.Wait()
		refused(t, o, bearer(stolen))
	})
}

// outages are ways in which an issuer does not give its key set.
func outages() map[string]http.Handler {
	garbage := func(text string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) })
	}
	return map[string]http.Handler{
		"503": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
		}),
		"empty":            garbage(""),
		"HTML":             garbage("<html>"),
		"keys are missing": garbage(`{"error":"unknown_error"}`),
		"keys are null":    garbage(`{"keys":null}`),
		"keys are a text":  garbage(`{"keys":"` + strings.Repeat("x", 100) + `"}`),
		"a key is a text":  garbage(`{"keys":["x"]}`),
		"a list":           garbage(`[]`),
		"cut off":          garbage(`{"keys":[]`),
		"keys twice":       garbage(`{"keys":[],"keys":[]}`),
		"huge":             garbage(`{"keys":[],"x":"` + strings.Repeat("x", 1<<20) + `"}`),
		"hanging":          http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }),
		"another host": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Host == "issuer.test" {
				http.Redirect(w, r, "http://evil.test"+r.URL.Path, http.StatusFound)
				return
			}
			_, _ = w.Write([]byte(otherKeys()))
		}),
	}
}

func TestOutage(t *testing.T) {
	t.Parallel()
	for name, answer := range outages() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := watch()
				o := w.start(t)
				w.Answer(answer)
				for range 3 {
					time.Sleep(20 * time.Minute)
					accepted(t, o, w.Sign(w.Claims()))
					refusedAs(t, o, auth.KindBadSignature, bearer(bad(w.Issuer, 1)))
					if after := unavailable(t, o, bearer(bad(w.Issuer, 0))); after > 30*time.Second {
						t.Errorf("retry after %s, want 30 s at most", after)
					}
				}
				times := w.fetches()
				if n := most(times[20:]); n > 5 { // the pauses are 15 to 30 s then
					t.Errorf("%d fetches in a minute of an outage", n)
				}
				w.Answer(nil)
				w.Rotate()
				time.Sleep(36 * time.Second) // the longest pause and a fetch
				accepted(t, o, w.Sign(w.Claims()))
			})
			synctest.Test(t, func(t *testing.T) {
				w := watch()
				w.Answer(answer)
				o := w.start(t)
				time.Sleep(time.Hour)
				if after := unavailable(t, o, bearer(w.Sign(w.Claims()))); after > 30*time.Second {
					t.Errorf("retry after %s, want 30 s at most", after)
				}
				w.Answer(nil)
				time.Sleep(36 * time.Second) // the longest pause and a fetch
				accepted(t, o, w.Sign(w.Claims()))
			})
		})
	}
}

// otherKeys is a key set that has every key an issuer of this test has, so that taking it would show.
func otherKeys() string {
	i := authtest.NewInMemory()
	i.Rotate()
	rec := &body{}
	r, _ := http.NewRequest("GET", i.KeysURL(), nil)
	i.ServeHTTP(rec, r)
	return rec.String()
}

type body struct{ strings.Builder }

func (*body) Header() http.Header { return http.Header{} }
func (*body) WriteHeader(int)     {}

func TestBackOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := watch()
		w.SetDown(true)
		began := time.Now()
		w.start(t)
		time.Sleep(10 * time.Minute)
		times := w.fetches()
		if !times[0].Equal(began) {
			t.Error("the first attempt is not at once")
		}
		for n := range times[1:] {
			pause, longest := times[n+1].Sub(times[n]), min(250*time.Millisecond<<n, 30*time.Second)
			if pause < longest/2 || pause > longest {
				t.Errorf("pause %d is %s, want between %s and %s", n, pause, longest/2, longest)
			}
			if n == 20 {
				return
			}
		}
		t.Errorf("only %d attempts in ten minutes", len(times))
	})
}

func TestWaitEndsWithTheRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := watch()
		o := w.start(t)
		w.Answer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		unavailable(t, o, bearer(bad(w.Issuer, 0)).WithContext(ctx))
		if took := time.Since(began); took != time.Second {
			t.Errorf("it waited %s although the request ended after 1 s", took)
		}
	})
}

func TestCloseInTheMiddle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := watch()
		o := w.start(t)
		w.Answer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = o.Authenticate(bearer(bad(w.Issuer, 0)))
		}()
		synctest.Wait()
		began := time.Now()
		o.Close()
		<-done
		if took := time.Since(began); took != 0 {
			t.Errorf("Close took %s", took)
		}
		accepted(t, o, w.Sign(w.Claims()))
		unavailable(t, o, bearer(bad(w.Issuer, 0)))
	})
}

// TestFailedFetchesUseNothingUp asserts that after an outage two fetches may be answered at once.
func TestFailedFetchesUseNothingUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := watch()
		o := w.start(t)
		time.Sleep(time.Minute)
		w.SetDown(true)
		w.Rotate()
		for range 5 {
			time.Sleep(unavailable(t, o, bearer(w.Sign(w.Claims()))))
		}
		w.SetDown(false)
		accepted(t, o, w.Sign(w.Claims()))
		w.Rotate()
		accepted(t, o, w.Sign(w.Claims()))
		w.Rotate()
		unavailable(t, o, bearer(w.Sign(w.Claims())))
	})
}

// TestTokenNewerThanTheFetchUnderWay asserts that a token which came while a fetch was under way is held to one that
// began after it: the answer of the first may be older than the token's key.
func TestTokenNewerThanTheFetchUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := watch()
		o := w.start(t)
		time.Sleep(time.Minute)
		before := w.JWK()
		w.Answer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
			time.Sleep(time.Second)
			w.Publish(before)
			w.ServeHTTP(out, &http.Request{URL: &url.URL{Path: strings.TrimPrefix(w.KeysURL(), "http://issuer.test")}})
			w.Answer(nil)
		}))
		go func() { _, _ = o.Authenticate(bearer(bad(w.Issuer, 0))) }()
		synctest.Wait()
		w.Rotate()
		accepted(t, o, w.Sign(w.Claims()))
	})
}

// TestConcurrently is for the race detector: good, bad and rotated tokens at once.
func TestConcurrently(t *testing.T) {
	t.Parallel()
	i := authtest.New()
	t.Cleanup(i.Close)
	o := loaded(t, i, nil)
	good, wrong := i.Sign(i.Claims(auth.RoleOperator)), bad(i, 0)
	i.Rotate()
	rotated := i.Sign(i.Claims(auth.RolePortal))
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			for k := range 200 {
				token := []string{good, wrong, rotated}[(n+k)%3]
				p, err := o.Authenticate(bearer(token))
				if token == wrong && err == nil {
					t.Error("a bad token was accepted")
				}
				if err == nil && !p.Has(auth.RoleOperator) && !p.Has(auth.RolePortal) {
					t.Errorf("roles %v", p.Roles)
				}
			}
		})
	}
	all.Wait()
	accepted(t, o, rotated)
}
