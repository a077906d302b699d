package postgrestest

import (
	"context"
	"os"
	"testing"
)

// Own returns a DSN of a server that no other test uses, whose superuser may do to it what a crash would; whole is then
// true. Such a server comes from a container or from the binaries of this machine. Where there is neither, because
// TEST_DATABASE_URL names a server that others use, the DSN is that of New, and whole is false: only that database may
// be harmed.
func Own(t testing.TB) (dsn string, whole bool) {
	t.Helper()
	skipShort(t)
	srv, err := findOwn()
	if err != nil && os.Getenv("TEST_DATABASE_URL") != "" {
		return New(t), false
	}
	if err != nil {
		t.Fatalf("postgrestest: %v", err)
	}
	t.Cleanup(func() {
		if err := srv.close(); err != nil {
			t.Errorf("postgrestest: %v", err)
		}
	})
	made, err := srv.migrated()
	if err != nil {
		t.Fatalf("postgrestest: %v", err)
	}
	return withDatabase(srv.dsn, made.name), true
}

// findOwn goes no way while another test goes one: testcontainers does not bear that.
func findOwn() (*server, error) {
	process.mu.Lock()
	defer process.mu.Unlock()
	return find(withoutURL, func(ctx context.Context) (*server, error) {
		return fromContainer(ctx, image(os.Getenv))
	}, fromBinaries)
}

func withoutURL(name string) string {
	if name == "TEST_DATABASE_URL" {
		return ""
	}
	return os.Getenv(name)
}
