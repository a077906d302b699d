package postgrestest

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// keeper makes a cluster, says whether it runs, and ends and removes it as soon as its standard input does. The kernel
// closes that when this process ends, however it ends, so a cluster never outlives its tests. $1 is the folder of the
// binaries, $2 the port, $3 more options of the server; the working folder is the cluster's own.
const keeper = `
trap '' PIPE
create() { "$1/initdb" -D data -U postgres -A trust -E UTF8 --locale="$2" --no-sync; }
start() {
	"$1/pg_ctl" -D data -l server.log -w -t 60 \
		-o "-c listen_addresses=127.0.0.1 -c port=$2 -c unix_socket_directories='' $3" start
}
{ create "$1" C.UTF-8 || { rm -rf data; create "$1" C; }; } >keeper.log 2>&1 &&
	start "$@" >>keeper.log 2>&1 && echo ready || echo failed
read -r line
"$1/pg_ctl" -D data -m immediate -w -t 10 stop >>keeper.log 2>&1
rm -rf "$PWD"
`

// careless makes a cluster fast whose loss does not matter.
const careless = "-c fsync=off -c full_page_writes=off -c autovacuum=off -c max_connections=" + maxConnections

// fromBinaries runs a cluster of this process's own on a free port of the loopback address.
func fromBinaries(ctx context.Context) (*server, error) { return runBinaries(ctx, careless) }

func runBinaries(ctx context.Context, options string) (*server, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	for range 3 { // between finding a free port and using it another process may take it
		var dsn string
		srv := &server{about: "the binaries in " + bin}
		if dsn, srv.stop, err = startCluster(bin, options); err != nil {
			continue
		}
		if err = srv.await(ctx, 5*time.Second, dsn); err == nil {
			return srv, nil
		}
		err = errors.Join(err, srv.close())
	}
	return nil, fmt.Errorf("the binaries in %s: %w", bin, err)
}

// startCluster returns the DSN of a new cluster that answers, and what ends it.
func startCluster(bin, options string) (dsn string, stop func() error, err error) {
	credential, err := unprivileged()
	if err != nil {
		return "", nil, err
	}
	port, err := freePort()
	if err != nil {
		return "", nil, err
	}
	folder, err := clusterFolder(credential)
	if err != nil {
		return "", nil, err
	}
	cmd := exec.Command("/bin/sh", "-c", keeper, "postgrestest-keeper", bin, port, options)
	cmd.Dir = folder
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "PWD=" + folder, "LC_ALL=C", "TZ=UTC"}
	// A session of its own: an interrupt from the terminal is for the tests.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: credential}
	lifeline, err := cmd.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	answer, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(folder))
	}
	stop = func() error { return errors.Join(lifeline.Close(), cmd.Wait(), os.RemoveAll(folder)) }
	line, err := bufio.NewReader(answer).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != "ready" {
		return "", nil, errors.Join(errors.New(lastWords(folder)), stop())
	}
	return "postgres://postgres@127.0.0.1:" + port + "/postgres?sslmode=disable", stop, nil
}

// lastWords are the last lines of the logs.
func lastWords(folder string) string {
	var text []byte
	for _, name := range []string{"keeper.log", "server.log"} {
		content, _ := os.ReadFile(filepath.Join(folder, name))
		text = append(text, content...)
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-3):], []byte("; ")))
}

// unprivileged is who runs the server if we are root, whom it refuses; nil is ourselves.
func unprivileged() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		account, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.ParseUint(account.Uid, 10, 32)
		gid, errGID := strconv.ParseUint(account.Gid, 10, 32)
		if errUID == nil && errGID == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, errors.New("we are root, the server refuses that, and there is neither a user postgres nor nobody")
}

// clusterFolder makes a folder that its owner can reach: a user other than ours may not pass through every TMPDIR.
func clusterFolder(owner *syscall.Credential) (string, error) {
	base := os.TempDir()
	if owner != nil && !passable(base) {
		base = "/tmp"
	}
	folder, err := os.MkdirTemp(base, "postgrestest-")
	if err != nil || owner == nil {
		return folder, err
	}
	return folder, os.Chown(folder, int(owner.Uid), int(owner.Gid))
}

func passable(folder string) bool {
	for ; ; folder = filepath.Dir(folder) {
		info, err := os.Stat(folder)
		if err != nil || info.Mode().Perm()&fs.FileMode(0o001) == 0 {
			return false
		}
		if folder == filepath.Dir(folder) {
			return true
		}
	}
}

func freePort() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	return port, err
}

// binaries finds the folder of a PostgreSQL server that is new enough: the one in PATH, else the newest of the usual
// places.
func binaries() (string, error) {
	var tooOld string
	for _, folder := range candidates() {
		major := majorVersion(folder)
		if major >= oldest {
			return folder, nil
		}
		if major > 0 {
			tooOld = fmt.Sprintf("PostgreSQL %d in %s is too old", major, folder)
		}
	}
	return "", errors.New(
		cmp.Or(tooOld, "no initdb, pg_ctl and postgres in PATH, /usr/lib/postgresql or where pg_config says"),
	)
}

func candidates() []string {
	var folders []string
	if path, err := exec.LookPath("initdb"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			path = real
		}
		folders = append(folders, filepath.Dir(path))
	}
	var usual []string
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",          // Debian
		"/usr/pgsql-*/bin",                   // Red Hat
		"/opt/homebrew/opt/postgresql@*/bin", // macOS
		"/usr/local/opt/postgresql@*/bin",    // macOS on Intel
		"/usr/local/pgsql/bin",               // from source
		"/usr/libexec/postgresql[0-9][0-9]",  // Alpine
	} {
		found, _ := filepath.Glob(pattern)
		usual = append(usual, found...)
	}
	slices.SortStableFunc(usual, func(a, b string) int { return majorVersion(b) - majorVersion(a) })
	folders = append(folders, usual...)
	if out, err := exec.Command("pg_config", "--bindir").Output(); err == nil {
		folders = append(folders, strings.TrimSpace(string(out)))
	}
	return folders
}

var versionNumber = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// majorVersion is 0 for a folder without a whole server in it.
func majorVersion(folder string) int {
	for _, name := range []string{"initdb", "pg_ctl"} {
		if _, err := os.Stat(filepath.Join(folder, name)); err != nil {
			return 0
		}
	}
	out, err := exec.Command(filepath.Join(folder, "postgres"), "--version").Output()
	if err != nil {
		return 0
	}
	match := versionNumber.FindSubmatch(out)
	if match == nil {
		return 0
	}
	major, _ := strconv.Atoi(string(match[1]))
	return major
}
