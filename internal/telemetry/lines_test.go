package telemetry

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// logged sets a Telemetry up whose log goes to out, and returns how to end it.
func logged(t *testing.T, out *lockedBuffer) (*slog.Logger, func()) {
	tel, err := Setup(t.Context(), Options{LogOutput: out})
	if err != nil {
		t.Fatal(err)
	}
	return tel.Logger(), func() { flush(t, tel) }
}

func TestLines_areWrittenTogetherAndSoon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out lockedBuffer
		log, end := logged(t, &out)
		log.Info("one")
		log.Info("two")
		if got := out.String(); got != "" {
			t.Errorf("written at once: %s", got)
		}
		time.Sleep(lineDelay)
		synctest.Wait()
		if got := out.String(); strings.Count(got, "\n") != 2 || strings.Index(got, "one") > strings.Index(got, "two") {
			t.Errorf("after %s the output has %q", lineDelay, got)
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

func TestLines_warningsAppearAtOnceWithWhatCameBefore(t *testing.T) {
	t.Parallel()
	for _, level := range []slog.Level{slog.LevelWarn, slog.LevelError} {
		var out lockedBuffer
		log, end := logged(t, &out)
		log.With("a", 1).WithGroup("g").Info("before")
		log.With("a", 1).WithGroup("g").Log(t.Context(), level, "matters")
		if got := out.String(); strings.Count(got, "\n") != 2 || strings.Index(got, "before") > strings.Index(got, "matters") {
			t.Errorf("%s: the output has %q", level, got)
		}
		end()
	}
}

// stuck is an output that takes nothing until it is released.
type stuck struct {
	lockedBuffer
	entered, release chan struct{}
	once             sync.Once
}

func (s *stuck) Write(p []byte) (int, error) {
	s.once.Do(func() { close(s.entered) })
	<-s.release
	return s.lockedBuffer.Write(p)
}

// TestLines_neverWaitForTheOutput holds that a pipe nobody reads costs lines and no request: all of them return while it is stuck.
func TestLines_neverWaitForTheOutput(t *testing.T) {
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
	kept := strings.Count(got, `"msg":"more"`)
	if want := fmt.Sprintf(`"lines":%d`, many-kept); kept == 0 || kept > maxWaiting/size || !strings.Contains(got, want) {
		t.Errorf("%d of %d lines were kept, and of the others %q is told: %t", kept, many, want, strings.Contains(got, want))
	}
}

// TestLines_noneIsLostOrTorn writes from many goroutines while lines are flushed and while the log ends.
func TestLines_noneIsLostOrTorn(t *testing.T) {
	t.Parallel()
	var out lockedBuffer
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
