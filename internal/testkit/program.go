package testkit

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// QuickExit, in the environment of a program that has the race detector, lets it end at once instead of after a second.
const QuickExit = "GORACE=atexit_sleep_ms=0"

// RunWithProgram runs tests with the path of a program, and returns their exit code. The program is the test binary
// itself, by another name: under that name it calls main and never gets to the tests. So it needs no build of its own,
// and has the race detector if the tests have it.
func RunWithProgram(name string, main func(), tests func(path string) int) int {
	if filepath.Base(os.Args[0]) == name {
		main()
		return 0
	}
	folder, err := os.MkdirTemp("", name+"-test-")
	if err != nil {
		return failed(err)
	}
	defer os.RemoveAll(folder)
	self, err := os.Executable()
	if err != nil {
		return failed(err)
	}
	path := filepath.Join(folder, name)
	if err := os.Symlink(self, path); err != nil {
		return failed(err)
	}
	return tests(path)
}

func failed(err error) int {
	fmt.Fprintln(os.Stderr, "testkit:", err)
	return 1
}

// Output collects what a program prints. It may be read while the program runs.
type Output struct {
	mu   sync.Mutex
	text []byte
}

func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text = append(o.text, p...)
	return len(p), nil
}

func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text)
}
