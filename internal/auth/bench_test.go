package auth_test

import (
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/auth"
	"github.com/breakpilot/tenant-registry/internal/auth/authtest"
)

// BenchmarkAuthenticate shows what a token costs that was verified before (warm) and one that was not (cold).
func BenchmarkAuthenticate(b *testing.B) {
	i := authtest.NewInMemory()
	now := time.Now()
	o := loaded(b, i, func(c *auth.OIDCConfig) { c.Now = func() time.Time { return now } })
	claims := i.Claims(auth.RoleTenantAdmin)
	r := bearer(i.Sign(claims))
	claims["exp"] = now.Add(-time.Second).Unix() // leeway accepts it, and it is never remembered
	expired := bearer(i.Sign(claims))
	run := func(b *testing.B, cold bool) {
		b.ReportAllocs()
		of := r
		if cold {
			of = expired
		}
		for b.Loop() {
			if _, err := o.Authenticate(of); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("warm", func(b *testing.B) { run(b, false) })
	b.Run("cold", func(b *testing.B) { run(b, true) })
	b.Run("warm-parallel", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := o.Authenticate(r); err != nil {
					b.Error(err)
				}
			}
		})
	})
}
