package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/apikey"
	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
)

// TestMain is also the bare server, which the program starts as itself.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == bareCommand {
		os.Exit(run(context.Background(), os.Args[1:], nil, os.Stdout))
	}
	os.Exit(postgrestest.Main(m))
}

// TestRun measures every pair for a moment. The figures mean nothing; the test is that all of them are there.
func TestRun(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	dsn := postgrestest.New(t)
	getenv := func(name string) string { return map[string]string{"BENCH_DATABASE_URL": dsn}[name] }
	var out strings.Builder
	args := []string{"-keys", "1000", "-tenants", "20", "-rounds", "1", "-seconds", "0.05", "-out", folder}
	if code := run(t.Context(), args, getenv, &out); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, &out)
	}
	text, err := os.ReadFile(filepath.Join(folder, "bench.json"))
	if err != nil {
		t.Fatal(err)
	}
	var report struct{ Rows []row }
	if err := json.Unmarshal(text, &report); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, r := range report.Rows {
		seen[r.Pair] = true
		if r.Note != "not there" && r.Pair != "memory" &&
			(r.Value <= 0 || r.Ours.Rate <= 0 || r.Ours.P99 < r.Ours.P50) {
			t.Errorf("a row without figures: %+v", r)
		}
	}
	for _, p := range pairs {
		if !seen[p.name] {
			t.Errorf("nothing is said of %s:\n%s", p.name, &out)
		}
	}
	chart, err := os.ReadFile(filepath.Join(folder, "bench.svg"))
	if err != nil || strings.Count(string(chart), "<rect") < 2 {
		t.Errorf("the chart is %s, %v", chart, err)
	}
}

func TestKeyText(t *testing.T) {
	t.Parallel()
	if _, ok := apikey.Parse(keyText(4711)); !ok || keyText(1) == keyText(2) {
		t.Errorf("%s is not a key", keyText(4711))
	}
}

func TestHistogram(t *testing.T) {
	t.Parallel()
	var h histogram
	for us := range 1000 {
		h.note(time.Duration(us+1) * time.Microsecond)
	}
	for q, want := range map[float64]time.Duration{0.5: 500 * time.Microsecond, 0.99: 990 * time.Microsecond} {
		if got := h.quantile(q); got > want+time.Microsecond || got < want*96/100 {
			t.Errorf("the quantile %g is %s, want %s less 3 %%", q, got, want)
		}
	}
}

func TestNewRequest(t *testing.T) {
	t.Parallel()
	named := map[string]texts{"name": {"onetwo", 3}}
	r := newRequest("POST /{name}", []string{"X-A: {name}"}, `{"a":{"b":"{name}"}}`, named)
	for _, p := range r.places {
		copy(r.text[p.at:], p.of.at(1))
	}
	const want = "POST /two HTTP/1.1\r\nHost: localhost\r\nX-A: two\r\n" +
		"Content-Type: application/json\r\nContent-Length: 17\r\n\r\n" + `{"a":{"b":"two"}}`
	if string(r.text) != want || r.many != 2 {
		t.Errorf("%d requests like\n%s\nwant\n%s", r.many, r.text, want)
	}
}
