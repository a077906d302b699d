package postgrestest

import "context"

// Lasting runs a cluster that a benchmark can be held to: unlike the one of the tests it writes through to the disk. It
// is made by the server binaries of this machine, ends with stop, and at the latest with this process. Options are
// those of postgres, such as "-c shared_buffers=1GB".
func Lasting(ctx context.Context, options string) (dsn, about string, stop func() error, err error) {
	srv, err := runBinaries(ctx, options)
	if err != nil {
		return "", "", nil, err
	}
	return srv.dsn, srv.about, srv.close, nil
}

// Programs is the folder of the server binaries of this machine, where pgbench is, too.
func Programs() (string, error) { return binaries() }
