package registry

import (
	"encoding/base64"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/apikey"
	"github.com/breakpilot/tenant-registry/internal/audit"
)

// storedInputs are valid inputs of all use cases that store a text, with a text in every place that can have one, and
// what checks them. A use case whose input is not here fails TestCredentials_inputsAreComplete.
var storedInputs = []struct {
	valid    any
	validate func(any) error
	notGiven []string // members that callers do not give
}{
	{
		TenantInput{
			Slug: "acme", Name: "Acme", Region: "eu", ExternalID: "crm-1", KeycloakOrgID: "org-1",
			Metadata: map[string]string{"team": "blue"},
		},
		func(in any) error { return in.(TenantInput).validate() }, nil,
	},
	{
		APIKeyInput{Name: "a key", Environment: apikey.Live, Product: "scanner", Scopes: []string{"read"}},
		func(in any) error { return in.(APIKeyInput).validate(time.Time{}) }, nil,
	},
	{
		APIKeyPatch{
			Name:   Optional[string]{Present: true, Value: "a key"},
			Scopes: Optional[[]string]{Present: true, Value: []string{"read"}},
		},
		func(in any) error { return in.(APIKeyPatch).validate() }, nil,
	},
	{
		CatalogRequestInput{Product: "scanner", Message: "please"},
		func(in any) error { return in.(CatalogRequestInput).validate() }, nil,
	},
	{
		Product{
			Key: "scanner", Name: "Scanner", Description: "It scans.", Audience: Public,
			DefaultLimits: Limits{"seats": new(int64(5))}, DefaultConfig: Config{"mode": "a", "nested": []any{"b"}},
		},
		func(in any) error { _, err := in.(Product).validate(); return err }, nil,
	},
	{
		TenantFreeze{Reason: "overdue"},
		func(in any) error { return in.(TenantFreeze).validate() }, nil,
	},
	{
		ErasureInput{Subjects: []string{"u-1"}, Reason: "asked for"},
		func(in any) error { return in.(ErasureInput).validate() },
		[]string{"Subjects"}, // which are stored nowhere
	},
	{
		func() audit.Event {
			party := audit.Party{ID: "u", Name: "n", Href: "h", Type: "t", Fields: map[string]string{"k": "v"}}
			return audit.Event{
				GroupID: uuid.New(), GroupName: "g", Action: "a.b", CRUD: audit.Create, Actor: party, Target: party,
				SourceIP: "192.0.2.1", Description: "d", Fields: map[string]string{"k": "v"}, Component: "c",
				Version: "v", ExternalID: "x", Metadata: map[string]string{"k": "v"}, CorrelationID: "c",
			}
		}(),
		func(in any) error { return validateEvent(in.(audit.Event)) },
		[]string{"Emitter", "OnBehalfOf", "SentGroupID", "Hash", "PrevChainHash", "ChainHash"},
	},
}

// credentials are a key's text and a token, as they are and within a text.
func credentials() map[string]string {
	encode := base64.RawURLEncoding.EncodeToString
	token := encode([]byte(`{"alg":"RS256"}`)) + "." + encode([]byte(`{"sub":"u-1"}`)) + "." + encode(make([]byte, 32))
	key := apikey.Generate(apikey.Live)
	return map[string]string{"key": key, "key in a text": "x-" + key, "token": token, "token in a text": "x." + token}
}

// The text of an API key, or a token, is refused in every place where a text is stored: each text of each input, names
// in objects too. The control is the input itself, which is accepted. No message repeats it.
func TestCredentials_areStoredNowhere(t *testing.T) {
	t.Parallel()
	for _, in := range storedInputs {
		name := reflect.TypeOf(in.valid).Name()
		if err := in.validate(in.valid); err != nil {
			t.Fatalf("%s: the control is refused: %v", name, err)
		}
		places := 0
		for kind, credential := range credentials() {
			for where, spoilt := range withText(reflect.ValueOf(in.valid), credential, "", in.notGiven) {
				places++
				err := in.validate(spoilt.Interface())
				var refusal *Error
				if !errors.As(err, &refusal) {
					t.Errorf("%s%s: a %s is accepted: %v", name, where, kind, err)
					continue
				}
				for _, v := range refusal.Violations {
					if strings.Contains(v.Pointer+v.Message, credential[len(credential)-20:]) {
						t.Errorf("%s%s: the refusal repeats the %s: %+v", name, where, kind, v)
					}
				}
			}
		}
		if places < len(credentials()) {
			t.Errorf("%s: only %d places were tried", name, places)
		}
	}
}

// withText are copies of a value, in each of which one text has been replaced.
func withText(v reflect.Value, text, where string, except []string) map[string]reflect.Value {
	all := map[string]reflect.Value{}
	within := func(child reflect.Value, where string, put func(into, child reflect.Value)) {
		for at, changed := range withText(child, text, where, except) {
			whole := reflect.New(v.Type()).Elem()
			whole.Set(v)
			put(whole, changed)
			all[at] = whole
		}
	}
	switch v.Kind() {
	case reflect.String:
		all[where] = reflect.ValueOf(text).Convert(v.Type())
	case reflect.Interface:
		if !v.IsNil() {
			within(v.Elem(), where, func(into, child reflect.Value) { into.Set(child) })
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && !slices.Contains(except, f.Name) {
				within(v.Field(i), where+"."+f.Name, func(into, child reflect.Value) { into.Field(i).Set(child) })
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			within(v.Index(i), where+"[]", func(into, child reflect.Value) {
				into.Set(reflect.AppendSlice(reflect.MakeSlice(v.Type(), 0, v.Len()), v))
				into.Index(i).Set(child)
			})
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			put := func(name, value reflect.Value) func(into, child reflect.Value) {
				return func(into, child reflect.Value) {
					into.Set(reflect.MakeMap(v.Type()))
					if !name.IsValid() {
						name = child.Convert(v.Type().Key())
					} else {
						value = child
					}
					into.SetMapIndex(name, value)
				}
			}
			within(key, where+"[name]", put(reflect.Value{}, v.MapIndex(key)))
			within(v.MapIndex(key), where+"[value]", put(key, reflect.Value{}))
		}
	}
	return all
}

// Every struct that a method of the service takes is an input that is tried, or holds no text that is stored.
func TestCredentials_inputsAreComplete(t *testing.T) {
	t.Parallel()
	notStored := []reflect.Type{
		reflect.TypeFor[Caller](), reflect.TypeFor[ReadOptions](), reflect.TypeFor[AuditQuery](),
		reflect.TypeFor[APIKeyQuery](), reflect.TypeFor[VerifyQuery](), reflect.TypeFor[ExportRequest](),
		reflect.TypeFor[PageRequest](), reflect.TypeFor[uuid.UUID](),
	}
	for m := range reflect.TypeFor[*Service]().Methods() {
		for i := range m.Type.NumIn() {
			in := m.Type.In(i)
			for in.Kind() == reflect.Pointer || in.Kind() == reflect.Slice {
				in = in.Elem()
			}
			tried := slices.ContainsFunc(storedInputs, func(s struct {
				valid    any
				validate func(any) error
				notGiven []string
			}) bool {
				return reflect.TypeOf(s.valid) == in
			})
			if in.Kind() == reflect.Struct && !tried && !slices.Contains(notStored, in) && in.Name() != "Service" {
				t.Errorf("%s takes a %s: enter it in storedInputs", m.Name, in.Name())
			}
		}
	}
}
