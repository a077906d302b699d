package config

import (
	"testing"
	"testing/fstest"
)

// machine is a file system with these files, by name and text.
func machine(files map[string]string) fstest.MapFS {
	root := fstest.MapFS{}
	for name, text := range files {
		root[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return root
}

func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	const (
		v1     = "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n"
		v1Root = "sys/fs/cgroup/memory/memory.limit_in_bytes"
	)
	for name, tc := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"no groups": {nil, 0},
		"version 2, a namespace": {
			map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "67108864\n"}, 64 << 20,
		},
		"version 2, none": {
			map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}, 0,
		},
		"version 2, the least of all": {
			map[string]string{
				"proc/self/cgroup":                     "0::/pods/a/b\n",
				"sys/fs/cgroup/pods/a/b/memory.max":    "max\n",
				"sys/fs/cgroup/pods/a/memory.max":      "1000000\n",
				"sys/fs/cgroup/pods/memory.max":        "2000000\n",
				"sys/fs/cgroup/other/memory.max":       "1\n",
				"sys/fs/cgroup/pods/a/b/c/memory.max":  "1\n",
				"sys/fs/cgroup/memory/memory.max":      "1\n",
				"sys/fs/cgroup/pods/a/b/memory.high":   "1\n",
				"sys/fs/cgroup/memory.limit_in_bytes":  "1\n",
				"sys/fs/cgroup/pods/memory.swap.max":   "1\n",
				"sys/fs/cgroup/pods/a/b/memory.oom.gr": "1\n",
			}, 1_000_000,
		},
		"version 1": {
			map[string]string{
				"proc/self/cgroup": v1, "sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes": "67108864\n",
				v1Root: "9223372036854771712\n",
			}, 64 << 20,
		},
		"version 1, in a container": {
			map[string]string{"proc/self/cgroup": v1, v1Root: "67108864\n"}, 64 << 20,
		},
		"version 1, none": {
			map[string]string{"proc/self/cgroup": v1, v1Root: "9223372036854771712\n"},
			0,
		},
		"another controller": {
			map[string]string{"proc/self/cgroup": "3:cpu:/a\n", v1Root: "1\n"}, 0,
		},
		"noise": {
			map[string]string{"proc/self/cgroup": "x\n0::/../..\n", "sys/fs/cgroup/memory.max": "-5\n"}, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := MemoryLimit(machine(tc.files)); got != tc.want {
				t.Errorf("the limit is %d, want %d", got, tc.want)
			}
		})
	}
}
