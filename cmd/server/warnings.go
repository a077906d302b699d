package main

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/breakpilot/tenant-registry/internal/config"
)

// warnOfSettings logs what is allowed outside of development and most likely not meant, and variables that have no
// effect and look as if they were meant to have one.
func warnOfSettings(cfg config.Config, environ []string, log *slog.Logger) {
	for _, warning := range cfg.Warnings {
		log.Warn("setting most likely not meant", "warning", warning)
	}
	for _, m := range config.Misspellings(environ) {
		log.Warn("unknown variable", "name", m.Name, "similar_setting", m.Meant)
	}
}

// misspelledError says the same of an environment that the program does not start with; nil if there is none.
func misspelledError(environ []string) error {
	var all []error
	for _, m := range config.Misspellings(environ) {
		all = append(all, fmt.Errorf("%s: is no setting; is %s meant?", m.Name, m.Meant))
	}
	return errors.Join(all...)
}
