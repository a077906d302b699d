package docs_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/auth"
	"github.com/breakpilot/tenant-registry/internal/auth/authtest"
)

// export is what the lines of the page use of the realm export.
type export struct {
	Realm   string
	Clients []exportedClient
	Users   []exportedUser
}

type exportedClient struct {
	ClientID                  string
	Secret                    string
	DirectAccessGrantsEnabled bool
}

type exportedUser struct {
	Username    string
	Credentials []struct{ Value string }
	ClientRoles map[string][]auth.Role
}

// realm imitates a Keycloak with the export: it gives a token to a caller with the secret and the password of the
// export.
type realm struct {
	export
	issuer *authtest.Issuer
	base   string
}

func (k *realm) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	at := "/realms/" + k.Realm
	switch r.URL.Path {
	case at + "/.well-known/openid-configuration":
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, k.base+at, k.base+"/realms/test/protocol/openid-connect/certs")
	case at + "/protocol/openid-connect/token":
		k.token(w, r)
	default:
		k.issuer.ServeHTTP(w, r)
	}
}

func (k *realm) token(w http.ResponseWriter, r *http.Request) {
	client := slices.ContainsFunc(k.Clients, func(c exportedClient) bool {
		return c.ClientID == r.FormValue("client_id") && c.Secret == r.FormValue("client_secret") &&
			c.DirectAccessGrantsEnabled
	})
	user := slices.IndexFunc(k.Users, func(u exportedUser) bool {
		return u.Username == r.FormValue("username") && len(u.Credentials) == 1 &&
			u.Credentials[0].Value == r.FormValue("password")
	})
	if !client || user < 0 || r.FormValue("grant_type") != "password" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	claims := k.issuer.Claims(k.Users[user].ClientRoles["tenant-registry"]...)
	claims["iss"], claims["azp"] = k.base+"/realms/"+k.Realm, r.FormValue("client_id")
	fmt.Fprintf(w, `{"access_token":%q,"expires_in":300,"token_type":"Bearer"}`, k.issuer.Sign(claims))
}

// TestBlocks_keycloak runs the lines for a Keycloak with the export, which is imitated, and is an operator then.
func TestBlocks_keycloak(t *testing.T) {
	t.Parallel()
	k := &realm{issuer: authtest.NewInMemory()}
	if err := json.Unmarshal([]byte(read(t, "internal/auth/testdata/realm.json")), &k.export); err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(k)
	defer web.Close()
	k.base = web.URL
	lines := blocks(t, "shell")
	if len(lines) != 2 || !strings.Contains(read(t, "README.md"), "`http://localhost:8080/realms/"+k.Realm+"`") {
		t.Fatalf("there are %d blocks, and the export's realm is %s", len(lines), k.Realm)
	}
	_, base := start(t, "KEYCLOAK_ISSUER="+web.URL+"/realms/"+k.Realm+" "+lines[0])
	ask := strings.NewReplacer("http://localhost:8080", web.URL, "http://localhost:8090", base).Replace(lines[1])
	var out []byte
	for deadline := time.Now().Add(20 * time.Second); ; {
		var err error
		if out, err = shell(ask).Output(); err == nil {
			break
		}
		if time.Now().After(deadline) { // the key set is loaded in the background
			t.Fatalf("%s: %v", ask, err)
		}
	}
	if !strings.Contains(string(out), `"audience":"private"`) {
		t.Errorf("the caller is no operator: %s", out)
	}
	resp, err := http.Get(base + "/v1/catalog")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("a caller without a token is answered %s", resp.Status)
	}
}
