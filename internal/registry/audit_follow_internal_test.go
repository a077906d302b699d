package registry

import (
	"testing"
	"time"

	"github.com/google/uuid"
)

// A long poll of one group is not woken by another's events, and one of all groups by any.
func TestFollower_wakesByGroup(t *testing.T) {
	t.Parallel()
	f := newFollower(nil, time.Second)
	f.polls = 1
	mine, other := uuid.New(), uuid.New()
	woken := func(news <-chan struct{}) bool {
		select {
		case <-news:
			return true
		default:
			return false
		}
	}
	ofMine, ofOther, ofAll := f.next(&mine), f.next(&other), f.next(nil)
	f.wake(mine)
	if !woken(ofMine) || woken(ofOther) || !woken(ofAll) {
		t.Errorf(
			"an event of one group wakes its own: %t, another's: %t, those of all: %t", woken(ofMine), woken(ofOther),
			woken(ofAll),
		)
	}
	ofMine, ofAll = f.next(&mine), f.next(nil)
	f.wakeAll()
	if !woken(ofMine) || !woken(ofOther) || !woken(ofAll) {
		t.Error("news of an unknown group does not wake every long poll")
	}
}
