package cache_test

import (
	"os"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }
