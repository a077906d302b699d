package registry

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

func TestPageOf_pagesAreTheWholeList(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOfNDistinct(rapid.StringMatching("[a-z0-9-]{1,3}"), 0, 20, rapid.ID[string]).Draw(t, "all")
		slices.Sort(all)
		limit := rapid.IntRange(1, 8).Draw(t, "limit")
		var got []string
		for r := (PageRequest{Limit: limit}); ; {
			page := pageOf(r, all, strings.Clone)
			if page.Items == nil || len(page.Items) > limit || (page.Next != "" && len(page.Items) < limit) {
				t.Fatalf("%+v is answered by %+v", r, page)
			}
			got = append(got, page.Items...)
			if r.Cursor = page.Next; r.Cursor == "" {
				break
			}
		}
		if !slices.Equal(got, all) {
			t.Fatalf("the pages have %q, the list is %q", got, all)
		}
	})
}

func TestPageOf_beginsAfterTheCursor(t *testing.T) {
	t.Parallel()
	all := []string{"b", "d", "f"}
	for _, c := range []struct {
		request PageRequest
		items   []string
		next    string
	}{
		{PageRequest{"", 2}, []string{"b", "d"}, "d"},
		{PageRequest{"d", 2}, []string{"f"}, ""},
		{PageRequest{"", 3}, all, ""},
		{PageRequest{"a", 1}, []string{"b"}, "b"},
		{PageRequest{"c", 2}, []string{"d", "f"}, ""}, // an item that is gone is a cursor all the same
		{PageRequest{"f", 2}, []string{}, ""},
		{PageRequest{"z", 2}, []string{}, ""},
	} {
		if page := pageOf(c.request, all, strings.Clone); !slices.Equal(page.Items, c.items) || page.Items == nil ||
			page.Next != c.next {
			t.Errorf("%+v is answered by %+v", c.request, page)
		}
	}
}

func TestPageRequest_cursorIsAnID(t *testing.T) {
	t.Parallel()
	id := uuid.New()
	for cursor, want := range map[string]uuid.UUID{"": uuid.Nil, id.String(): id} {
		if got, err := (PageRequest{Cursor: cursor}).cursorID(); err != nil || got != want {
			t.Errorf("%q is %s, %v", cursor, got, err)
		}
	}
	for _, cursor := range []string{"x", "1", id.String()[1:], id.String() + "0", " "} {
		_, err := (PageRequest{Cursor: cursor}).cursorID()
		refusesCursor(t, cursor, err)
	}
}

func TestPageRequest_cursorIsAPlace(t *testing.T) {
	t.Parallel()
	const hash = "0123456789abcdef"
	for cursor, want := range map[string]logPlace{
		"": {}, "0.": {}, "1." + hash: {1, hash}, "9223372036854775807." + hash: {1<<63 - 1, hash},
	} {
		if got, err := (PageRequest{Cursor: cursor}).cursorPlace(); err != nil || got != want {
			t.Errorf("%q is %v, %v", cursor, got, err)
		}
	}
	for _, cursor := range []string{
		"x", "0", "1", "1.", "-1." + hash, "1.5", "1e3." + hash, " 1." + hash, "1." + hash + "0", "0." + hash,
		"9223372036854775808." + hash, uuid.NewString(),
	} {
		_, err := (PageRequest{Cursor: cursor}).cursorPlace()
		refusesCursor(t, cursor, err)
	}
}

// refusesCursor checks that err is a violation of the parameter cursor.
func refusesCursor(t *testing.T, cursor string, err error) {
	t.Helper()
	var refusal *Error
	if !errors.As(err, &refusal) || refusal.Kind != Invalid || len(refusal.Violations) != 1 ||
		refusal.Violations[0].Parameter != "cursor" {
		t.Errorf("the cursor %q is answered by %v", cursor, err)
	}
}
