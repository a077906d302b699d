package config

// Variable describes one setting; the README's table is held to this list.
type Variable struct{ Name, Default, Purpose string }

// Variables are all settings of the server, in the order in which the README lists them.
var Variables = []Variable{
	{"APP_ENV", "dev", "one of `dev`, `stage`, `prod`; `stage` and `prod` refuse to start unsafely"},
	{"ADDR", ":8090", "listen address"},
	{"AUTH_MODE", "dev in dev, else oidc", "one of `dev`, `oidc`; `dev` only with `APP_ENV=dev`"},
	{"DEV_ALLOW_REMOTE", "false", "`true` lets dev identities in from other machines, and under any host name"},
	{"KEYCLOAK_ISSUER", "http://localhost:8080/realms/breakpilot-dev", "OIDC issuer URL; https outside dev"},
	{"OIDC_AUDIENCE", "tenant-registry", "the audience that a token must have"},
	{"OIDC_ALLOWED_AZP", "", "clients whose tokens are taken, separated by commas; empty means any"},
	{
		"OIDC_PRODUCT_CLIENTS", "",
		"product of a service account without the claim `product`: `azp=key`, separated by commas",
	},
	{"OIDC_JWKS_URL", "", "where the key set is, if not where the issuer's discovery says; https outside dev"},
	{"OIDC_DIAL_ADDRESS", "", "HOST:PORT to dial instead of the issuer's, where it has another address from here"},
	{
		"RATE_LIMIT", "0 in dev, else 100",
		"requests a second of one principal, twice as many at once, on each replica; `0` means no limit",
	},
	{"TRUSTED_PROXIES", "0", "how many proxies stand in front and append to `X-Forwarded-For`, 0 to 10"},
	{
		"MAX_CONNECTIONS", "4096",
		"connections of clients at most, 1 to 1000000; a further one takes the place of the longest idle",
	},
	{
		"SHARE_APPENDS", "64/0/512",
		"requests that append audit events at the same time: of a caller, of a tenant, of all; `0` means no cap",
	},
	{"SHARE_APPEND_BYTES", "4194304/0/16777216", "bytes of their bodies"},
	{
		"SHARE_EVENTS", "5000/0/20000",
		"audit events reported in a second; a KiB of a body counts as one more, beyond 256 KiB as ten",
	},
	{"SHARE_EXPORTS", "2/4/8", "exports of audit logs at the same time"},
	{"SHARE_ERASURES", "2/0/4", "erasures from audit logs at the same time"},
	{"SHARE_LONG_POLLS", "5/50/1000", "requests that wait for audit events"},
	{"SHARE_WIDE_READS", "8/16/64", "pages of audit logs, and of keys by a filter, at the same time"},
	{"SHARE_AUDIT_ROWS", "100000/200000/0", "audit events examined for pages in ten seconds"},
	{"SHARE_CHANGES", "256/32/512", "changes at the same time; those of one tenant run in turn"},
	{
		"MAX_KEY_CHANGES_PER_DAY", "10000",
		"creations and rotations of API keys of a tenant in a day, on each replica; `0` means no limit",
	},
	{"DATABASE_URL", "", "Postgres DSN; empty means the in-memory store"},
	{"DATABASE_URL_FILE", "", "file that holds it instead, read again for each new connection"},
	{
		"DATABASE_DIRECT_URL", "DATABASE_URL",
		"Postgres DSN of the same database without a pooler; invalidations are received there",
	},
	{"DATABASE_DIRECT_URL_FILE", "", "file that holds it instead, read again for each new connection"},
	{
		"DB_TLS", "verify",
		"one of `verify`, `insecure`; `insecure` lets a DSN outside dev be without `sslmode=verify-full`",
	},
	{"CACHE", "on", "one of `on`, `off`; `off` reads the store at every verify and by-slug"},
	{
		"CACHE_KEYS", "1000000",
		"cached API keys at most, 1 to 100000000; each takes 0.4 KB, the only one of a tenant 1.5 KB",
	},
	{
		"DB_MAX_CONNS", "10",
		"connections to Postgres, 1 to 1000, a third for changes; four more for `/readyz` and cache invalidation",
	},
	{"MAX_KEYS_PER_TENANT", "10000", "API keys of a tenant that are not revoked"},
	{
		"AUDIT_SIGNING_KEY", "",
		"signs checkpoints of the audit log, as `tenant-registry audit keygen` makes it; empty means none",
	},
	{"AUDIT_SIGNING_KEY_FILE", "", "file that holds it instead"},
	{"DRAIN_DELAY", "1s", "how long `/readyz` answers 503 before the listener closes on SIGTERM, at most 1m"},
	{"ADMIN_ADDR", "", "address of `/metrics` (Prometheus) and `/debug/pprof/`; empty means neither"},
	{"DOCS", "on in dev, else off", "one of `on`, `off`; `on` serves the documentation pages at `/docs`"},
	{"GC_PERCENT", "400", "growth of the heap before it is collected, in percent, 10 to 10000; `GOGC` overrides it"},
	{"LOG_LEVEL", "info", "one of `debug`, `info`, `warn`, `error`"},
	{"LOG_FORMAT", "text in dev, else json", "one of `text`, `json`"},
}
