package web

import (
	"testing"
)

// everyFlip calls try with each text that differs from s in one bit.
func everyFlip(s string, try func(flipped string)) {
	for i := range len(s) {
		for bit := range 8 {
			flipped := []byte(s)
			flipped[i] ^= 1 << bit
			try(string(flipped))
		}
	}
}

func TestCursor_roundTrip(t *testing.T) {
	t.Parallel()
	for _, list := range []string{
		"catalog:all", "audit:true:all", "entitlements:00000000-0000-0000-0000-000000000001",
	} {
		for _, position := range []string{"", "1", "a-b", "with\x00NUL", "\xff"} {
			cursor := SealCursor(list, position)
			if got, ok := OpenCursor(cursor, list); !ok || got != position {
				t.Errorf("the position %q in %s comes back as %q, %t", position, list, got, ok)
			}
			if got, ok := OpenCursor(cursor, list+"x"); ok {
				t.Errorf("the cursor of %s opens in another list: %q", list, got)
			}
			everyFlip(cursor, func(flipped string) {
				if got, ok := OpenCursor(flipped, list); ok {
					t.Errorf("the cursor %q opens as %q: %q", cursor, flipped, got)
				}
			})
			for _, changed := range []string{
				"", cursor[1:], cursor[:len(cursor)-1], cursor + "A", cursor + "=", " " + cursor, cursor + "\n",
				cursor[:5] + "\r\n" + cursor[5:],
			} {
				if got, ok := OpenCursor(changed, list); ok {
					t.Errorf("the cursor %q opens as %q: %q", cursor, changed, got)
				}
			}
		}
	}
}
