package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/breakpilot/tenant-registry/internal/migrate"
)

// grants is the action that grants to the roles which its arguments name.
func (c command) grants(args []string, wait time.Duration) (action, error) {
	var to migrate.Roles
	flags := flag.NewFlagSet("grants", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&to.App, "app", "", "")
	flags.StringVar(&to.Auditor, "auditor", "", "")
	if err := flags.Parse(args); err != nil || flags.NArg() > 0 || to.App == "" {
		return nil, errors.New("grants takes --app=ROLE and, if there is an auditor, --auditor=ROLE")
	}
	return func(ctx context.Context) error {
		schema, err := c.schema(wait)
		if err != nil {
			return err
		}
		if err := schema.Grant(ctx, to); err != nil {
			return err
		}
		fmt.Fprintf(c.out, "the role %q has the privileges of the server, and no other\n", to.App)
		if to.Auditor != "" {
			fmt.Fprintf(c.out, "the role %q may read the audit log, and nothing else\n", to.Auditor)
		}
		fmt.Fprintln(c.out, "only roles with CONNECT of their own may connect to the database")
		return nil
	}, nil
}
