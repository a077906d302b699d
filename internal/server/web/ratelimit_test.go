package web

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

// TestRateLimiter_saysHowLong asserts that what a refused caller is told is true: a moment before it is refused still,
// and then it is not.
func TestRateLimiter_saysHowLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := NewRateLimiter(0.1, 2)
		for range 2 {
			if wait := l.Take("x"); wait != 0 {
				t.Fatalf("the bucket is empty before its time, for %s", wait)
			}
		}
		for range 50 { // which count nothing
			if wait := l.Take("x"); wait != 10*time.Second {
				t.Fatalf("an empty bucket is empty for %s", wait)
			}
		}
		time.Sleep(4 * time.Second)
		wait := l.Take("x")
		if wait.Round(time.Millisecond) != 6*time.Second {
			t.Fatalf("after four seconds it is empty for %s", wait)
		}
		time.Sleep(wait - time.Millisecond)
		if l.Take("x") == 0 {
			t.Error("a moment earlier than it said it has a place")
		}
		time.Sleep(2 * time.Millisecond)
		if wait := l.Take("x"); wait != 0 {
			t.Errorf("when it said it is empty for %s", wait)
		}
		if wait := l.Take("y"); wait != 0 {
			t.Errorf("another name waits for %s", wait)
		}
	})
	var none *RateLimiter
	if wait := none.Take("x"); wait != 0 {
		t.Errorf("no limiter limits for %s", wait)
	}
}

func TestProblem_retryAfter(t *testing.T) {
	t.Parallel()
	rs := &Responder{Problems: map[string]ProblemType{
		CodeTooManyRequests: {Status: http.StatusTooManyRequests},
		CodeUnavailable:     {Status: http.StatusServiceUnavailable},
		CodeNotFound:        {Status: http.StatusNotFound},
	}}
	for _, c := range []struct {
		code string
		wait time.Duration
		want string
	}{
		{CodeTooManyRequests, 0, "2"}, {CodeUnavailable, 0, "2"}, {CodeTooManyRequests, 1, "1"},
		{CodeTooManyRequests, time.Second, "1"}, {CodeTooManyRequests, time.Second + 1, "2"},
		{CodeUnavailable, 90 * time.Second, "90"}, {CodeTooManyRequests, -time.Second, "1"},
		{CodeNotFound, time.Second, ""},
	} {
		w := httptest.NewRecorder()
		rs.WriteProblem(w, httptest.NewRequest(http.MethodGet, "/", nil), &Problem{Code: c.code, RetryAfter: c.wait})
		if got := w.Header().Get("Retry-After"); got != c.want {
			t.Errorf("%s after %s: Retry-After is %q, want %q", c.code, c.wait, got, c.want)
		}
	}
}
