-- Schema M4.1: six tables, four enums, a log that takes the next event only and keeps it.
--
-- Ids and times come from the application, never from a default here, so that both stores hold the same values.
-- Text that is compared or sorted is COLLATE "C", so that the order does not depend on the server's locale.

CREATE TYPE tenant_status AS ENUM ('trial', 'active', 'frozen');
CREATE TYPE entitlement_source AS ENUM ('trial', 'plan', 'grant', 'request');
CREATE TYPE catalog_request_status AS ENUM ('pending', 'approved', 'rejected', 'cancelled');
CREATE TYPE audit_crud AS ENUM ('c', 'r', 'u', 'd');

-- Rows are added and corrected by hand too: what the program could not read must not get in.

-- Limits are whole numbers of 64 bits, or null. 10.0 is none: jsonb keeps the fraction.
CREATE FUNCTION are_limits(j jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
    CASE jsonb_typeof(j) WHEN 'object' THEN NOT EXISTS (
        SELECT FROM jsonb_each(j) AS l WHERE jsonb_typeof(l.value) <> 'null' AND CASE
            WHEN l.value::text ~ '^-?[0-9]{1,19}$'
                THEN l.value::numeric NOT BETWEEN -9223372036854775808 AND 9223372036854775807
            ELSE true
        END
    ) ELSE false END;
-- Strict: otherwise jsonpath would look into an array for its elements.
CREATE FUNCTION are_texts(j jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
    jsonb_typeof(j) = 'object' AND NOT jsonb_path_exists(j, 'strict $.* ? (@.type() != "string")');
CREATE FUNCTION is_config(j jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
    jsonb_typeof(j) = 'object' AND NOT jsonb_path_exists(j, '$.**{33 to last}');
-- The years of RFC 3339, and no infinity.
CREATE FUNCTION is_time(t timestamptz) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
    t >= timestamptz '0001-01-01 00:00:00+00' AND t < timestamptz '10000-01-01 00:00:00+00';

CREATE TABLE tenants (
    id              uuid PRIMARY KEY,
    slug            text COLLATE "C" NOT NULL,
    name            text NOT NULL,
    status          tenant_status NOT NULL,
    region          text,
    external_id     text,
    keycloak_org_id text COLLATE "C",
    metadata        jsonb NOT NULL,
    version         bigint NOT NULL,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    activated_at    timestamptz,
    frozen_at       timestamptz,
    CONSTRAINT tenants_slug_key UNIQUE (slug),
    -- A DNS label of 3 to 63 characters that is no punycode. Reserved names are the application's rule.
    CONSTRAINT tenants_slug_check CHECK (
        length(slug) BETWEEN 3 AND 63
        AND slug ~ '^[a-z0-9]([a-z0-9-]*[a-z0-9])$'
        AND slug !~ '^xn--'),
    CONSTRAINT tenants_name_check CHECK (name <> ''),
    CONSTRAINT tenants_metadata_check CHECK (are_texts(metadata)),
    CONSTRAINT tenants_times_check CHECK (
        is_time(created_at) AND is_time(updated_at) AND is_time(activated_at) AND is_time(frozen_at)),
    CONSTRAINT tenants_version_check CHECK (version >= 1)
);
-- Partial: an update of a column under a full unique index would conflict with every foreign key check on the row.
CREATE UNIQUE INDEX tenants_keycloak_org_id_key ON tenants (keycloak_org_id) WHERE keycloak_org_id IS NOT NULL;

CREATE TABLE products (
    key              text COLLATE "C" PRIMARY KEY,
    name             text NOT NULL,
    description      text NOT NULL,
    audience         text NOT NULL,
    requestable      boolean NOT NULL,
    trial_days       integer,
    default_limits   jsonb NOT NULL,
    default_config   jsonb NOT NULL,
    available_from   timestamptz,
    available_until  timestamptz,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    CONSTRAINT products_key_check CHECK (
        key ~ '^[a-z0-9][a-z0-9-]{1,62}$'
        AND key NOT IN ('request', 'requests', 'trial-request')),
    CONSTRAINT products_name_check CHECK (name <> ''),
    CONSTRAINT products_limits_check CHECK (are_limits(default_limits)),
    CONSTRAINT products_config_check CHECK (is_config(default_config)),
    CONSTRAINT products_times_check CHECK (
        is_time(created_at) AND is_time(updated_at) AND is_time(available_from) AND is_time(available_until)
        AND available_until > available_from),
    CONSTRAINT products_audience_check CHECK (audience IN ('public', 'private')),
    CONSTRAINT products_trial_days_check CHECK (trial_days BETWEEN 1 AND 3650)
);

CREATE TABLE catalog_requests (
    id              uuid PRIMARY KEY,
    tenant_id       uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    product_key     text COLLATE "C" NOT NULL REFERENCES products (key),
    status          catalog_request_status NOT NULL,
    message         text,
    requested_by    text NOT NULL,
    decided_by      text,
    decided_at      timestamptz,
    decision_reason text,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    CONSTRAINT catalog_requests_decided_check CHECK ((status = 'pending') = (decided_at IS NULL)),
    CONSTRAINT catalog_requests_times_check CHECK (
        is_time(decided_at) AND is_time(created_at) AND is_time(updated_at))
);
CREATE UNIQUE INDEX catalog_requests_pending_key ON catalog_requests (tenant_id, product_key) WHERE status = 'pending';
CREATE INDEX catalog_requests_tenant ON catalog_requests (tenant_id, id);
CREATE INDEX catalog_requests_product ON catalog_requests (product_key);

-- One row per grant of a source. Its state (scheduled, trialing, active, expired, revoked) is computed from the clock,
-- never stored.
CREATE TABLE entitlements (
    id          uuid PRIMARY KEY,
    tenant_id   uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    product_key text COLLATE "C" NOT NULL REFERENCES products (key),
    source      entitlement_source NOT NULL,
    starts_at   timestamptz NOT NULL,
    ends_at     timestamptz,
    revoked_at  timestamptz,
    limits      jsonb NOT NULL,
    config      jsonb NOT NULL,
    request_id  uuid REFERENCES catalog_requests (id) ON DELETE SET NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    CONSTRAINT entitlements_limits_check CHECK (are_limits(limits)),
    CONSTRAINT entitlements_config_check CHECK (is_config(config)),
    CONSTRAINT entitlements_period_check CHECK (ends_at > starts_at),
    CONSTRAINT entitlements_times_check CHECK (
        is_time(starts_at) AND is_time(ends_at) AND is_time(revoked_at) AND is_time(created_at)
        AND is_time(updated_at))
);
-- One trial per tenant and product, permanently.
CREATE UNIQUE INDEX entitlements_trial_key ON entitlements (tenant_id, product_key) WHERE source = 'trial';
CREATE INDEX entitlements_tenant_product ON entitlements (tenant_id, product_key, id);
CREATE INDEX entitlements_product ON entitlements (product_key);
CREATE INDEX entitlements_request ON entitlements (request_id) WHERE request_id IS NOT NULL;

CREATE TABLE api_keys (
    id            uuid PRIMARY KEY,
    tenant_id     uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    name          text NOT NULL,
    environment   text NOT NULL,
    product_key   text COLLATE "C" REFERENCES products (key),
    scopes        text[] COLLATE "C" NOT NULL,
    prefix        text NOT NULL,
    hash          bytea NOT NULL,
    -- Of the secret before the last rotation, which is good until previous_ends_at unless it was ended at once.
    previous_hash    bytea,
    previous_ends_at timestamptz,
    previous_ended   boolean NOT NULL,
    previous_used_at timestamptz,
    rotated_at       timestamptz,
    expires_at    timestamptz,
    disabled      boolean NOT NULL,
    last_used_at  timestamptz,
    version       bigint NOT NULL,
    created_by    text NOT NULL,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    revoked_at    timestamptz,
    revoked_by    text,
    revoke_reason text,
    CONSTRAINT api_keys_hash_key UNIQUE (hash),
    CONSTRAINT api_keys_hash_check CHECK (octet_length(hash) = 32 AND octet_length(previous_hash) = 32),
    CONSTRAINT api_keys_previous_check CHECK ((previous_hash IS NULL) = (previous_ends_at IS NULL)),
    CONSTRAINT api_keys_version_check CHECK (version >= 1),
    CONSTRAINT api_keys_environment_check CHECK (environment IN ('live', 'test')),
    CONSTRAINT api_keys_revoked_check CHECK ((revoked_at IS NULL) = (revoked_by IS NULL)),
    CONSTRAINT api_keys_scopes_check CHECK (
        CASE coalesce(array_ndims(scopes), 1) WHEN 1 THEN array_position(scopes, NULL) IS NULL ELSE false END),
    CONSTRAINT api_keys_times_check CHECK (
        is_time(previous_ends_at) AND is_time(previous_used_at) AND is_time(rotated_at) AND is_time(expires_at)
        AND is_time(last_used_at) AND is_time(created_at) AND is_time(updated_at) AND is_time(revoked_at))
);
CREATE UNIQUE INDEX api_keys_previous_hash_key ON api_keys (previous_hash) WHERE previous_hash IS NOT NULL;
CREATE INDEX api_keys_tenant ON api_keys (tenant_id, id);
-- To count what a tenant has without reading all that it ever had.
CREATE INDEX api_keys_unrevoked ON api_keys (tenant_id) WHERE revoked_at IS NULL;
CREATE INDEX api_keys_product ON api_keys (product_key) WHERE product_key IS NOT NULL;

-- Replicas cache what they read, and the program publishes what it changes. Rows are deleted by hand, which publishes
-- nothing, so a trigger does.
CREATE FUNCTION notify_cache_flush() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('tenant_registry', 'flush');
    RETURN NULL;
END
$$;
CREATE TRIGGER tenants_notify AFTER DELETE OR TRUNCATE ON tenants
    FOR EACH STATEMENT EXECUTE FUNCTION notify_cache_flush();
CREATE TRIGGER entitlements_notify AFTER DELETE OR TRUNCATE ON entitlements
    FOR EACH STATEMENT EXECUTE FUNCTION notify_cache_flush();
CREATE TRIGGER api_keys_notify AFTER DELETE OR TRUNCATE ON api_keys
    FOR EACH STATEMENT EXECUTE FUNCTION notify_cache_flush();

-- pos and seq are given under one lock as the last step before COMMIT: number order is commit order.
-- group_id is the chain an event belongs to and never changes (the platform's own is the nil UUID); tenant_id only
-- keeps the tenant's row from vanishing unseen and becomes NULL when the tenant is deleted.
CREATE TABLE audit_log (
    pos             bigint PRIMARY KEY,
    id              uuid NOT NULL,
    group_id        uuid NOT NULL,
    seq             bigint NOT NULL,
    tenant_id       uuid REFERENCES tenants (id) ON DELETE SET NULL,
    group_name      text,
    action          text COLLATE "C" NOT NULL,
    area            text COLLATE "C" NOT NULL,
    crud            audit_crud NOT NULL,
    actor_id        text COLLATE "C",
    actor_name      text,
    actor_href      text,
    actor_type      text,
    actor_fields    jsonb,
    target_id       text COLLATE "C",
    target_name     text,
    target_href     text,
    target_type     text,
    target_fields   jsonb,
    source_ip       text,
    description     text,
    is_failure      boolean NOT NULL,
    is_anonymous    boolean NOT NULL,
    fields          jsonb,
    component       text,
    version         text,
    external_id     text,
    metadata        jsonb,
    created         timestamptz NOT NULL,
    received        timestamptz NOT NULL,
    correlation_id  text COLLATE "C",
    emitter_id      text,
    emitter_name    text,
    hash            bytea NOT NULL,
    prev_chain_hash bytea NOT NULL,
    chain_hash      bytea NOT NULL,
    -- Of the request that the event belongs to, if it came with an idempotency key: SHA-256 of caller and key, and of
    -- the command.
    idempotency_key        bytea,
    idempotency_fingerprint      bytea,
    idempotency_ordinal    integer,
    CONSTRAINT audit_log_id_key UNIQUE (id),
    CONSTRAINT audit_log_group_id_seq_key UNIQUE (group_id, seq),
    CONSTRAINT audit_log_hashes_check CHECK (
        octet_length(hash) = 32 AND octet_length(prev_chain_hash) = 32 AND octet_length(chain_hash) = 32
        AND octet_length(idempotency_key) = 32 AND octet_length(idempotency_fingerprint) = 32),
    CONSTRAINT audit_log_idempotency_check CHECK (
        num_nulls(idempotency_key, idempotency_fingerprint, idempotency_ordinal) IN (0, 3)
    ),
    CONSTRAINT audit_log_numbers_check CHECK (pos >= 1 AND seq >= 1),
    CONSTRAINT audit_log_fields_check CHECK (
        are_texts(actor_fields) AND are_texts(target_fields) AND are_texts(fields) AND are_texts(metadata)),
    CONSTRAINT audit_log_times_check CHECK (is_time(created) AND is_time(received))
);
CREATE UNIQUE INDEX audit_log_idempotency_key ON audit_log (idempotency_key, idempotency_ordinal)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX audit_log_tenant ON audit_log (tenant_id) WHERE tenant_id IS NOT NULL;
-- One index per filter and order: a tenant's page by seq, the whole log's by pos.
CREATE INDEX audit_log_group_action ON audit_log (group_id, action, seq);
CREATE INDEX audit_log_group_area ON audit_log (group_id, area, seq);
CREATE INDEX audit_log_group_actor ON audit_log (group_id, actor_id, seq);
CREATE INDEX audit_log_group_target ON audit_log (group_id, target_id, seq);
CREATE INDEX audit_log_group_failure ON audit_log (group_id, seq) WHERE is_failure;
CREATE INDEX audit_log_group_correlation ON audit_log (group_id, correlation_id, seq);
CREATE INDEX audit_log_action ON audit_log (action, pos);
CREATE INDEX audit_log_area ON audit_log (area, pos);
CREATE INDEX audit_log_actor ON audit_log (actor_id, pos);
CREATE INDEX audit_log_target ON audit_log (target_id, pos);
CREATE INDEX audit_log_failure ON audit_log (pos) WHERE is_failure;
CREATE INDEX audit_log_correlation ON audit_log (correlation_id, pos);

-- No role, the owner included, changes what was written. The one thing let through is the foreign key becoming NULL.
CREATE FUNCTION audit_log_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.tenant_id IS NOT NULL AND NEW.tenant_id IS NULL THEN
        OLD.tenant_id := NULL;
        IF NEW IS NOT DISTINCT FROM OLD THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'audit_log is append-only: % refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE ON audit_log
    FOR EACH ROW EXECUTE FUNCTION audit_log_append_only();
CREATE TRIGGER audit_log_no_truncate BEFORE TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION audit_log_append_only();

-- Every row has its predecessor: that of its place, and that of its chain, whose hash it carries. So INSERT alone can
-- neither forge a place nor leave none for those that follow (a row at the last position would). Each look-up is the
-- first row of an index in its order, and nothing else is allowed: a session keeps the plan that it made when the log
-- was small, and any index, or none, was as good.
CREATE FUNCTION audit_log_places() RETURNS trigger LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off AS $$
BEGIN
    IF EXISTS (
        SELECT FROM (
            SELECT pos, group_id, seq, prev_chain_hash, lag(pos) OVER log AS before_pos,
                lag(seq) OVER chain AS before_seq, lag(chain_hash) OVER chain AS before_hash
            FROM inserted WINDOW log AS (ORDER BY pos), chain AS (PARTITION BY group_id ORDER BY seq)
        ) AS e
        WHERE e.before_pos IS DISTINCT FROM e.pos - 1 AND e.pos - 1 IS DISTINCT FROM coalesce(
                (SELECT p.pos FROM audit_log p WHERE p.pos < e.pos ORDER BY p.pos DESC LIMIT 1), 0)
            OR e.prev_chain_hash IS DISTINCT FROM CASE e.seq - 1
                WHEN 0 THEN decode(repeat('00', 32), 'hex')
                WHEN e.before_seq THEN e.before_hash
                ELSE (SELECT CASE p.seq WHEN e.seq - 1 THEN p.chain_hash END FROM audit_log p
                    WHERE p.group_id = e.group_id AND p.seq < e.seq ORDER BY p.seq DESC LIMIT 1)
            END
    ) THEN
        RAISE EXCEPTION 'audit_log takes only the next place, after the newest event of its log and of its chain'
            USING ERRCODE = 'unique_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = 'audit_log_places';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER audit_log_places AFTER INSERT ON audit_log REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION audit_log_places();

-- A trigger function runs with the search_path of its caller, who could put another "=" before Postgres's own. So each
-- has its own path: Postgres's, then this schema, and temporary objects last.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['notify_cache_flush', 'audit_log_append_only', 'audit_log_places'] LOOP
        EXECUTE format('ALTER FUNCTION %1$I.%2$I() SET search_path = pg_catalog, %1$I, pg_temp',
            current_schema(), name);
    END LOOP;
END
$$;
