package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// row is one line of the report.
type row struct {
	Pair    string  `json:"pair"`
	Title   string  `json:"title"`
	What    string  `json:"what,omitzero"` // what Value is
	Value   float64 `json:"value,omitzero"`
	Least   float64 `json:"least,omitzero"`   // the goal, if it is a least
	AtMost  float64 `json:"at_most,omitzero"` // the goal, if it is a most
	Note    string  `json:"note,omitzero"`
	Ours    *sample `json:"ours,omitzero"`
	Theirs  *sample `json:"theirs,omitzero"`
	Reached string  `json:"reached,omitzero"` // "yes", "no", or nothing without a goal
}

// measure runs the rounds of one pair: ours, theirs, ours, theirs; a ratio is that of one round, and the median of them
// counts.
func (b *bench) measure(ctx context.Context, p pair) ([]row, error) {
	if p.alone != nil {
		rows, err := p.alone(b, ctx)
		return b.judge(rows), err
	}
	ours, theirs, err := p.open(b, ctx)
	if errors.Is(err, errNotThere) {
		b.say("%s: not there", p.title)
		return []row{{Pair: p.name, Title: p.title, Least: p.rate, Note: "not there"}}, nil
	}
	if err != nil {
		return nil, err
	}
	defer ours.close()
	defer theirs.close()
	var left, right []sample
	for round := range b.rounds + 1 {
		l, err := ours.measure(ctx, b.length)
		if err != nil {
			return nil, err
		}
		r, err := theirs.measure(ctx, b.length)
		if err != nil {
			return nil, err
		}
		if round > 0 { // the first warms up
			left, right = append(left, l), append(right, r)
		}
		if err := b.log.Truncate(0); err != nil {
			return nil, err
		}
	}
	return b.judge(rowsOf(p, left, right)), nil
}

// rowsOf are the ratio of the rates, and that of the CPU if both are known.
func rowsOf(p pair, left, right []sample) []row {
	rates, cpus := make([]float64, len(left)), make([]float64, len(left))
	for i := range left {
		rates[i] = left[i].Rate / right[i].Rate
		cpus[i] = float64(left[i].CPU) / float64(right[i].CPU)
	}
	l, r := middle(left), middle(right)
	ratio := median(rates)
	rows := []row{{
		Pair: p.name, Title: p.title, What: "requests/s", Value: ratio, Least: p.rate, Ours: &l, Theirs: &r,
		Note: fmt.Sprintf("%.2f to %.2f", rates[0], rates[len(rates)-1]),
	}}
	if r.CPU > 0 {
		rows = append(rows, row{
			Pair: p.name, Title: p.title, What: "CPU per request", Value: median(cpus), AtMost: p.cpu, Ours: &l,
			Theirs: &r, Note: fmt.Sprintf("%.2f to %.2f", cpus[0], cpus[len(cpus)-1]),
		})
	}
	return rows
}

// middle is the median of each figure.
func middle(samples []sample) sample {
	of := func(figure func(sample) float64) float64 {
		all := make([]float64, len(samples))
		for i, s := range samples {
			all[i] = figure(s)
		}
		return median(all)
	}
	return sample{
		Rate: of(func(s sample) float64 { return s.Rate }),
		P50:  time.Duration(of(func(s sample) float64 { return float64(s.P50) })),
		P99:  time.Duration(of(func(s sample) float64 { return float64(s.P99) })),
		CPU:  time.Duration(of(func(s sample) float64 { return float64(s.CPU) })),
	}
}

func (b *bench) judge(rows []row) []row {
	for i := range rows {
		r := &rows[i]
		switch {
		case r.What == "":
		case r.Least > 0:
			r.Reached = map[bool]string{true: "yes", false: "no"}[r.Value >= r.Least]
		case r.AtMost > 0:
			r.Reached = map[bool]string{true: "yes", false: "no"}[r.Value <= r.AtMost]
		}
		b.say("%s: %s %.2f", r.Title, r.What, r.Value)
	}
	return rows
}

// report prints the table and writes it and the chart.
func (b *bench) report(rows []row) error {
	t := tabwriter.NewWriter(b.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\npair\tratio of\tratio\tgoal\treached\trounds\tours/s\ttheirs/s"+
		"\tours p50\tp99\tCPU\ttheirs p50\tp99\tCPU")
	for _, r := range rows {
		value := fmt.Sprintf("%.2f", r.Value)
		if r.What == "" {
			value = "-"
		}
		cells := []string{r.Title, r.What, value, r.goal(), r.Reached, r.Note}
		if r.Ours != nil {
			cells = append(cells, fmt.Sprintf("%.0f", r.Ours.Rate), fmt.Sprintf("%.0f", r.Theirs.Rate))
			for _, s := range []*sample{r.Ours, r.Theirs} {
				cells = append(cells, short(s.P50), short(s.P99), short(s.CPU))
			}
		}
		fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if err := os.MkdirAll(b.options.out, 0o755); err != nil {
		return err
	}
	text, err := json.MarshalIndent(map[string]any{
		"rounds": b.rounds, "seconds": b.length.Seconds(), "keys": b.keys, "tenants": b.tenants,
		"connections":  connections,
		"memory_store": b.memory, "processors": runtime.NumCPU(), "go": runtime.Version(), "rows": rows,
	}, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(b.options.out, "bench.json"), append(text, '\n'), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(b.options.out, "bench.svg"), []byte(chart(rows)), 0o644)
}

func (r row) goal() string {
	switch {
	case r.Least > 0:
		return fmt.Sprintf("≥ %g", r.Least)
	case r.AtMost > 0:
		return fmt.Sprintf("≤ %g", r.AtMost)
	}
	return ""
}

// short is a duration for a table; 0 is not known.
func short(d time.Duration) string {
	switch {
	case d == 0:
		return "-"
	case d < time.Millisecond:
		return fmt.Sprintf("%.1fµs", float64(d)/float64(time.Microsecond))
	}
	return fmt.Sprintf("%.1fms", float64(d)/float64(time.Millisecond))
}
