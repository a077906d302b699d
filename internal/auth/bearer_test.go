package auth_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/auth"
	"github.com/breakpilot/tenant-registry/internal/auth/authtest"
)

// FuzzAuthenticate holds that nothing but the one good token opens the door, whatever the header holds, in both modes.
func FuzzAuthenticate(f *testing.F) {
	i := authtest.NewInMemory()
	o := loaded(f, i, nil)
	dev := auth.NewDev(true)
	good := i.Sign(i.Claims(auth.RoleOperator))
	f.Add("Bearer " + good)
	for _, forgery := range authtest.Forgeries(i) {
		r := request()
		forgery.Apply(r)
		if values := r.Header.Values("Authorization"); len(values) == 1 && len(values[0]) < 4096 {
			f.Add(values[0]) // the first of two headers may be good
		}
	}
	f.Add("Bearer dev-tenant:acme")
	f.Fuzz(func(t *testing.T, value string) {
		r := request()
		r.Header["Authorization"] = []string{value}
		p, err := o.Authenticate(r)
		var no *auth.Refused
		switch {
		case err == nil && !strings.HasSuffix(value, " "+good):
			t.Fatalf("%q is %+v", value, p)
		case err != nil && (!errors.As(err, &no) && !isUnavailable(err) || p.ID != ""):
			t.Fatalf("%q: %v with %+v", value, err, p)
		}
		if p, err := dev.Authenticate(r); err == nil && (len(p.Roles) != 1 || !strings.Contains(value, p.ID)) {
			t.Fatalf("%q is %+v", value, p)
		}
	})
}
