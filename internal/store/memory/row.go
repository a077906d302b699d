package memory

import "slices"

// row is one row of a table. Only the holder of the writer slot has pending values.
type row[T any] struct {
	committed *T // what other readers see; nil: nothing yet
	pending   *T // what the writing transaction sees instead; nil: the same
}

// seen is the row as the writing transaction (own) or as other readers see it; nil: they see none.
func (r *row[T]) seen(own bool) *T {
	if own {
		return r.newest()
	}
	return r.committed
}

func (r *row[T]) newest() *T {
	if r.pending != nil {
		return r.pending
	}
	return r.committed
}

// find is the visible row under a key of a unique index, or nil.
func find[K comparable, T any](index map[K]*row[T], key K, own bool) *T {
	if r := index[key]; r != nil {
		return r.seen(own)
	}
	return nil
}

// set writes a value to a row.
func set[T any](t *tx, r *row[T], value T) {
	before := r.pending
	r.pending = &value
	t.record(func() {
		if r.pending != nil {
			r.committed, r.pending = r.pending, nil
		}
	}, func() { r.pending = before })
}

// add enters a row in a unique index, under a key that is not there.
func add[K comparable, V any](t *tx, index map[K]V, key K, v V) {
	index[key] = v
	t.record(func() {}, func() { delete(index, key) })
}

// list is an ordered index of rows. Their order never changes, and no two rows are equal in it.
type list[T any] struct {
	rows  []*row[T]
	order func(a, b *T) int
}

// insert enters a row that has its value.
func (l *list[T]) insert(t *tx, r *row[T]) {
	l.rows = slices.Insert(l.rows, l.search(r.newest()), r)
	t.record(func() {}, func() {
		at := l.search(r.newest())
		l.rows = slices.Delete(l.rows, at, at+1)
	})
}

// search returns the index of the first row that does not come before v.
func (l *list[T]) search(v *T) int {
	at, _ := slices.BinarySearchFunc(l.rows, v, func(r *row[T], v *T) int { return l.order(r.newest(), v) })
	return at
}

// has reports whether there is a row that equals v in the order.
func (l *list[T]) has(v *T) bool { return l.find(v) != nil }

// find is the newest value of the row that equals v in the order; nil: there is none.
func (l *list[T]) find(v *T) *T {
	if l == nil {
		return nil
	}
	at := l.search(v)
	if at == len(l.rows) || l.order(l.rows[at].newest(), v) != 0 {
		return nil
	}
	return l.rows[at].newest()
}

// last is the newest value of the last row; nil: there is none.
func (l *list[T]) last() *T {
	if l == nil || len(l.rows) == 0 {
		return nil
	}
	return l.rows[len(l.rows)-1].newest()
}

// copies are copies of the visible rows. It is never nil.
func copies[T any](rows []*row[T], own bool, clone func(T) T) []T {
	got := []T{}
	for _, r := range rows {
		if v := r.seen(own); v != nil {
			got = append(got, clone(*v))
		}
	}
	return got
}
