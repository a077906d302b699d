package telemetry

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/breakpilot/tenant-registry/internal/testkit"
)

// logged sets a Telemetry up whose log goes to out, and returns how to end it.
func logged(t *testing.T, out *testkit.Output) (*slog.Logger, func()) {
	tel, err := Setup(t.Context(), Options{LogOutput: out})
	if err != nil {
		t.Fatal(err)
	}
	return tel.Logger(), func() { flush(t, tel) }
}

func TestLogBuffer_areWrittenTogetherAndSoon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out testkit.Output
		log, end := logged(t, &out)
		log.Info("one")
		log.Info("two")
		if got := out.String(); got != "" {
			t.Errorf("written at once: %s", got)
		}
		time.Sleep(flushDelay)
		synctest.Wait()
		if got := out.String(); strings.Count(got, "\n") != 2 || strings.Index(got, "one") > strings.Index(got, "two") {
			t.Errorf("after %s the output has %q", flushDelay, got)
		}
		log.Info("three")
		end()
		if got := out.String(); strings.Count(got, "\n") != 3 {
			t.Errorf("after the end the output has %q", got)
		}
		log.Info("four")
		if got := out.String(); strings.Count(got, "\n") != 4 {
			t.Errorf("a line after the end waits: %q", got)
		}
	})
}

func TestLogBuffer_warningsAppearAtOnceWithWhatCameBefore(t *testing.T) {
	t.Parallel()
	for _, level := range []slog.Level{slog.LevelWarn, slog.LevelError} {
		var out testkit.Output
		log, end := logged(t, &out)
		log.With("a", 1).WithGroup("g").Info("before")
		log.With("a", 1).WithGroup("g").Log(t.Context(), level, "matters")
		if got := out.String(); strings.Count(got, "\n") != 2 ||
			strings.Index(got, "before") > strings.Index(got, "matters") {
			t.Errorf("%s: the output has %q", level, got)
		}
		end()
	}
}

// stuck is an output that takes nothing until it is released.
type stuck struct {
	testkit.Output
	entered, release chan struct{}
	once             sync.Once
}

func (s *stuck) Write(p []byte) (int, error) {
	s.once.Do(func() { close(s.entered) })
	<-s.release
	return s.Output.Write(p)
}

// TestLogBuffer_neverWaitsForTheOutput holds that a pipe without a reader costs lines and no request: all of them
// return while it is stuck.
func TestLogBuffer_neverWaitsForTheOutput(t *testing.T) {
	t.Parallel()
	out := &stuck{entered: make(chan struct{}), release: make(chan struct{})}
	tel, err := Setup(t.Context(), Options{LogOutput: out})
	if err != nil {
		t.Fatal(err)
	}
	tel.Logger().Info("first")
	<-out.entered
	const size, many = 1 << 20, 8
	for i := range many {
		tel.Logger().Info("more", "n", i, "text", strings.Repeat("x", size))
	}
	close(out.release)
	flush(t, tel)
	got := out.String()
	written := strings.Count(got, `"msg":"more"`)
	if want := fmt.Sprintf(`"lines":%d`, many-written); written == 0 || written > maxBuffered/size ||
		!strings.Contains(got, want) {
		t.Errorf("%d of %d lines were written, and the log reports the others with %q: %t",
			written, many, want, strings.Contains(got, want))
	}
}

// TestLogBuffer_noneIsLostOrTorn writes from many goroutines while lines are flushed and while the log ends.
func TestLogBuffer_noneIsLostOrTorn(t *testing.T) {
	t.Parallel()
	var out testkit.Output
	log, end := logged(t, &out)
	const writers, each = 8, 500
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				log.Info("line", "id", fmt.Sprintf("%d-%d", w, i))
				if i%100 == 0 {
					log.Warn("line", "id", fmt.Sprintf("%d-%d-warn", w, i))
				}
			}
		})
	}
	end()
	all.Wait()
	seen := map[string]bool{}
	for line := range strings.Lines(out.String()) {
		if !strings.HasPrefix(line, `{"time":`) || !strings.HasSuffix(line, "\"}\n") || seen[line] {
			t.Fatalf("a line is torn or there twice: %q", line)
		}
		seen[line] = true
	}
	if want := writers * (each + each/100); len(seen) != want {
		t.Errorf("%d lines, want %d", len(seen), want)
	}
}
