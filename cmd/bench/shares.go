package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"
)

// How one hostile caller, or one hostile tenant, asks for more than its share.
const (
	greedySenders = 40                     // requests at the same time
	greedyPause   = 100 * time.Millisecond // after a refusal: it never waits as long as Retry-After says
	quietSenders  = 2                      // of the innocent caller
	warmUp        = time.Second            // of each server, by the innocent caller
	greedyEvents  = 10_000                 // of the hostile tenant, to be read
	sharesOff     = "0/0/0"
)

// attack is one line of the table: what a hostile caller does, and what an innocent one of another tenant does
// meanwhile.
type attack struct {
	share           string
	greedy, quiet   func(w *sharesWorld, i int) asked
	greedyReadsSlow bool // it reads no answer
}

// asked is a request of one of the callers.
type asked struct{ method, path, token, body string }

// attacks are the shared resources, each with its hostile caller.
var attacks = []attack{
	{share: "appends", greedy: (*sharesWorld).bulk, quiet: (*sharesWorld).event},
	{share: "appends, changes beside", greedy: (*sharesWorld).bulk, quiet: (*sharesWorld).quietKey},
	{share: "exports", greedy: (*sharesWorld).export, quiet: (*sharesWorld).quietKey, greedyReadsSlow: true},
	{share: "long polls", greedy: (*sharesWorld).longPoll, quiet: (*sharesWorld).quietKey},
	{share: "audit pages", greedy: (*sharesWorld).widePage, quiet: (*sharesWorld).entitlements},
	{share: "changes", greedy: (*sharesWorld).greedyKey, quiet: (*sharesWorld).quietKey},
}

// phase is what came of one phase.
type phase struct {
	took            histogram // the innocent caller's requests
	refused, failed int64     // of the innocent caller: 429 or 503, others that are no success
	greedy, denied  int64     // of the hostile one: answered, and refused
	rss             int64     // of the server at most, in bytes
}

// measureShares prints the table: the innocent caller alone, beside a hostile one with the shares, and without them.
func measureShares(ctx context.Context, o options, out io.Writer) (err error) {
	b := &bench{options: o, out: out, began: time.Now()}
	defer func() {
		if failed := b.close(); err == nil {
			err = failed
		}
	}()
	b.keys, b.tenants = 1000, 100
	if err := b.open(ctx); err != nil {
		return err
	}
	w, err := newSharesWorld(b)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "share\tcalm p50\tp99\twith p50\tp99\trefused\thostile refused\tRSS MB\t"+
		"without p50\tp99\trefused\tRSS MB")
	for _, a := range attacks {
		if !o.only.MatchString(a.share) {
			continue
		}
		if err := w.measure(ctx, a, table); err != nil {
			return fmt.Errorf("%s: %w", a.share, err)
		}
	}
	return table.Flush()
}

// measure prints one line. Each phase has a server of its own, on the same database.
func (w *sharesWorld) measure(ctx context.Context, a attack, out io.Writer) error {
	var phases [3]phase
	for i, settings := range [][]string{shareSettings(""), shareSettings(""), shareSettings(sharesOff)} {
		p, err := w.start(ctx, append([]string{"RATE_LIMIT=100"}, settings...)...)
		if err != nil {
			return err
		}
		if _, err = w.run(ctx, p, a, false, warmUp); err == nil {
			phases[i], err = w.run(ctx, p, a, i > 0, w.length)
		}
		if stopped := p.stop(); err == nil && i < 2 {
			err = stopped
		}
		if err != nil {
			return err
		}
	}
	calm, with, without := phases[0], phases[1], phases[2]
	fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\t%d\t%d of %d\t%d\t%s\t%s\t%d\t%d\n", a.share,
		shown(calm.took.quantile(0.5)), shown(calm.took.quantile(0.99)), shown(with.took.quantile(0.5)),
		shown(with.took.quantile(0.99)), with.refused+with.failed, with.denied, with.greedy+with.denied, with.rss>>20,
		shown(without.took.quantile(0.5)), shown(without.took.quantile(0.99)), without.refused+without.failed,
		without.rss>>20)
	w.say("%s: measured", a.share)
	return nil
}

func shown(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }

// shareSettings sets all shares to a value; empty: to their defaults.
func shareSettings(caps string) []string {
	changes, _, _ := strings.Cut(caps, "/")
	settings := []string{"MAX_KEY_CHANGES_PER_DAY=" + changes}
	for _, name := range []string{
		"APPENDS", "APPEND_BYTES", "EVENTS", "EXPORTS", "LONG_POLLS", "WIDE_READS", "AUDIT_ROWS", "CHANGES",
	} {
		settings = append(settings, "SHARE_"+name+"="+caps)
	}
	return settings
}

// run lets the innocent caller work for a time, alone or beside the hostile one.
func (w *sharesWorld) run(
	ctx context.Context, p *process, a attack, attacked bool, length time.Duration,
) (phase, error) {
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	var got phase
	var running sync.WaitGroup
	var number atomic.Int64
	if attacked {
		for range greedySenders {
			running.Go(func() { w.beGreedy(ctx, p, a, &number, &got) })
		}
	}
	var mu sync.Mutex
	for range quietSenders {
		running.Go(func() {
			took, refused, failed := w.beQuiet(ctx, p, a, &number)
			mu.Lock()
			defer mu.Unlock()
			got.took.add(&took)
			got.refused += refused
			got.failed += failed
		})
	}
	for ctx.Err() == nil {
		got.rss = max(got.rss, memoryOf(p.cmd.Process.Pid))
		time.Sleep(20 * time.Millisecond)
	}
	running.Wait()
	return got, nil
}

func (w *sharesWorld) beGreedy(ctx context.Context, p *process, a attack, number *atomic.Int64, got *phase) {
	client := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Minute}}
	defer client.CloseIdleConnections()
	for ctx.Err() == nil {
		status := w.send(ctx, client, p, a.greedy(w, int(number.Add(1))), a.greedyReadsSlow)
		switch {
		case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
			atomic.AddInt64(&got.denied, 1)
			time.Sleep(greedyPause)
		case status > 0:
			atomic.AddInt64(&got.greedy, 1)
		}
	}
}

func (w *sharesWorld) beQuiet(
	ctx context.Context, p *process, a attack, number *atomic.Int64,
) (took histogram, refused, failed int64) {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for ctx.Err() == nil {
		began := time.Now()
		status := w.send(ctx, client, p, a.quiet(w, int(number.Add(1))), false)
		end, _ := ctx.Deadline()
		switch {
		case time.Until(end) < 50*time.Millisecond: // it may have been cut off
		case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
			refused++
		case status == 0 || status >= http.StatusBadRequest:
			failed++
		default:
			took.note(time.Since(began))
		}
		time.Sleep(25 * time.Millisecond) // within its rate limit
	}
	return took, refused, failed
}

// send sends a request and returns the status; 0 if there was no answer. An answer that is not read keeps its
// connection until the phase ends.
func (w *sharesWorld) send(ctx context.Context, c *http.Client, p *process, a asked, unread bool) int {
	r, err := http.NewRequestWithContext(ctx, a.method, "http://"+p.addr+a.path, strings.NewReader(a.body))
	if err != nil {
		return 0
	}
	r.Header.Set("Authorization", "Bearer "+a.token)
	if a.body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if len(a.body) > 1<<16 { // what is refused is not sent: that costs the sender what it costs the network
		r.Header.Set("Expect", "100-continue")
	}
	answer, err := c.Do(r)
	if err != nil {
		return 0
	}
	defer func() { _ = answer.Body.Close() }()
	if unread && answer.StatusCode == http.StatusOK {
		<-ctx.Done()
		return answer.StatusCode
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode
}
