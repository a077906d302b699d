package main

import (
	"log/slog"

	"github.com/breakpilot/tenant-registry/internal/auth"
	"github.com/breakpilot/tenant-registry/internal/config"
)

// authenticator picks who is let in, and how to end what it runs in the background.
func authenticator(cfg config.Config, log *slog.Logger) (auth.Authenticator, func(), error) {
	if cfg.AuthMode == "dev" {
		return auth.NewDev(cfg.DevAllowRemote), func() {}, nil
	}
	oidc, err := auth.NewOIDC(auth.OIDCConfig{
		Issuer: cfg.KeycloakIssuer, JWKSURL: cfg.JWKSURL, DialAddress: cfg.DialAddress, Audience: cfg.Audience,
		Client: "tenant-registry", AllowedAZP: cfg.AllowedAZP, ProductClients: cfg.ProductClients, Logger: log,
	})
	if err != nil {
		return nil, nil, err
	}
	return oidc, oidc.Close, nil
}

// warnOfDev logs that callers need no credential.
func warnOfDev(cfg config.Config, log *slog.Logger) {
	if cfg.AuthMode == "dev" {
		log.Warn("AUTH_MODE=dev: every caller is an operator", "from_other_machines", cfg.DevAllowRemote)
	}
}
