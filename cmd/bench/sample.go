package main

import (
	"bytes"
	"context"
	"fmt"
	"math/bits"
	"os"
	"slices"
	"strconv"
	"time"
)

// side is one half of a pair.
type side interface {
	measure(ctx context.Context, length time.Duration) (sample, error)
	close()
}

// sample is what one side did in one round.
type sample struct {
	Rate     float64       `json:"per_second"`
	P50, P99 time.Duration // of one request; 0: not known
	CPU      time.Duration // of the server for one request; 0: not known
}

// histogram counts durations, to 3 %: 32 steps for each power of two of nanoseconds.
type histogram [64 * 32]uint32

func (h *histogram) note(d time.Duration) { h[bucket(uint64(max(d, 1)))]++ }

func bucket(ns uint64) int {
	power := bits.Len64(ns) - 1
	if power < 5 {
		return int(ns)
	}
	return power*32 + int(ns>>(power-5)&31)
}

// floor is the least that falls into a bucket.
func floor(bucket int) time.Duration {
	power := bucket / 32
	if power < 5 {
		return time.Duration(bucket)
	}
	return time.Duration((32 + bucket%32) << (power - 5))
}

func (h *histogram) add(other *histogram) {
	for i, n := range other {
		h[i] += n
	}
}

func (h *histogram) count() (all uint64) {
	for _, n := range h {
		all += uint64(n)
	}
	return all
}

// quantile is the least duration that the given part of all do not exceed.
func (h *histogram) quantile(q float64) time.Duration {
	left := uint64(q * float64(h.count()))
	for i, n := range h {
		if uint64(n) > left {
			return floor(i)
		}
		left -= uint64(n)
	}
	return 0
}

// median of an odd or even number of values, which it sorts.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	m := len(values) / 2
	if len(values)%2 == 1 {
		return values[m]
	}
	return (values[m-1] + values[m]) / 2
}

// tick is the unit of /proc/PID/stat, which Linux promises to programs.
const tick = 10 * time.Millisecond

// cpuOf is what a process has used of all processors so far; 0 where there is no /proc.
func cpuOf(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:]) // the program's name may hold anything
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(string(fields[11]))
	system, _ := strconv.Atoi(string(fields[12]))
	return time.Duration(user+system) * tick
}
