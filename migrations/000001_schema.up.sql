-- Schema M4.1: six tables, four enums, a log that takes the next event only and keeps it, but for what is erased.
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
-- How many events and parts, the seq of the first event, and a SHA-256 in hexadecimal digits.
CREATE FUNCTION is_erasure(j jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
    jsonb_typeof(j) = 'object' AND coalesce((j ->> 'set') ~ '^[0-9a-f]{64}$', false)
    AND (SELECT bool_and(coalesce(jsonb_typeof(j -> n) = 'number' AND j ->> n ~ '^[1-9][0-9]{0,15}$', false))
        FROM unnest(ARRAY['events', 'first', 'parts']) AS n);
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
    on_behalf_of_id   text,
    on_behalf_of_name text,
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
    hash            bytea,
    -- What an erasure took from the chain; of its event only.
    erase           jsonb,
    -- The salts of the parts that the event has. The digest of a part is computed from its salt and columns.
    actor_salt        bytea,
    emitter_salt      bytea,
    fields_salt       bytea,
    group_salt        bytea,
    hash_salt         bytea,
    metadata_salt     bytea,
    on_behalf_of_salt bytea,
    source_salt       bytea,
    target_salt       bytea,
    text_salt         bytea,
    -- By part: the id of the event of the erasure that takes it, and, where value and salt were deleted, the digest in
    -- hexadecimal digits. A mark has no effect before that event is in the chain.
    marks           jsonb,
    digests         jsonb,
    prev_chain_hash bytea NOT NULL,
    chain_hash      bytea NOT NULL,
    -- Of the request that the event belongs to, if it came with an idempotency key: SHA-256 of caller and key; a salt
    -- and the SHA-256 of it and the command, until an event of the request is erased.
    idempotency_key         bytea,
    idempotency_fingerprint bytea,
    idempotency_ordinal     integer,
    CONSTRAINT audit_log_id_key UNIQUE (id),
    CONSTRAINT audit_log_group_id_seq_key UNIQUE (group_id, seq),
    CONSTRAINT audit_log_hashes_check CHECK (
        octet_length(hash) = 32 AND octet_length(prev_chain_hash) = 32 AND octet_length(chain_hash) = 32
        AND octet_length(idempotency_key) = 32 AND octet_length(idempotency_fingerprint) = 48),
    CONSTRAINT audit_log_idempotency_check CHECK (
        num_nulls(idempotency_key, idempotency_ordinal) IN (0, 2)
        AND (idempotency_fingerprint IS NULL OR idempotency_key IS NOT NULL)
    ),
    -- A part is there with its salt, and neither without the other.
    CONSTRAINT audit_log_salts_check CHECK (
        (actor_salt IS NULL) = (actor_id IS NULL) AND (emitter_salt IS NULL) = (emitter_id IS NULL)
        AND (fields_salt IS NULL) = (fields IS NULL) AND (group_salt IS NULL) = (group_name IS NULL)
        AND (hash_salt IS NULL) = (hash IS NULL) AND (metadata_salt IS NULL) = (metadata IS NULL)
        AND (on_behalf_of_salt IS NULL) = (on_behalf_of_id IS NULL) AND (source_salt IS NULL) = (source_ip IS NULL)
        AND (target_salt IS NULL) = (target_id IS NULL)
        AND (text_salt IS NULL) = (num_nonnulls(description, external_id, correlation_id, component, version) = 0)),
    CONSTRAINT audit_log_salt_lengths_check CHECK (
        octet_length(actor_salt) = 16 AND octet_length(emitter_salt) = 16 AND octet_length(fields_salt) = 16
        AND octet_length(group_salt) = 16 AND octet_length(hash_salt) = 16 AND octet_length(metadata_salt) = 16
        AND octet_length(on_behalf_of_salt) = 16 AND octet_length(source_salt) = 16
        AND octet_length(target_salt) = 16 AND octet_length(text_salt) = 16),
    CONSTRAINT audit_log_erase_check CHECK (
        (erase IS NULL) = (action <> 'audit.erase') AND (erase IS NULL OR is_erasure(erase))),
    CONSTRAINT audit_log_marks_check CHECK (are_texts(marks) AND are_texts(digests)),
    CONSTRAINT audit_log_numbers_check CHECK (pos >= 1 AND seq >= 1),
    CONSTRAINT audit_log_fields_check CHECK (
        are_texts(actor_fields) AND are_texts(target_fields) AND are_texts(fields) AND are_texts(metadata)),
    CONSTRAINT audit_log_times_check CHECK (is_time(created) AND is_time(received))
);
CREATE UNIQUE INDEX audit_log_idempotency_key ON audit_log (idempotency_key, idempotency_ordinal)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX audit_log_tenant ON audit_log (tenant_id) WHERE tenant_id IS NOT NULL;
-- One index for each filter of a tenant's page, which is in the order of seq. Of the whole log's, which is in the order
-- of pos, only those for what operators look up: other filters examine the log along pos.
CREATE INDEX audit_log_group_action ON audit_log (group_id, action, seq);
CREATE INDEX audit_log_group_area ON audit_log (group_id, area, seq);
CREATE INDEX audit_log_group_actor ON audit_log (group_id, actor_id, seq);
CREATE INDEX audit_log_group_target ON audit_log (group_id, target_id, seq);
CREATE INDEX audit_log_group_failure ON audit_log (group_id, seq) WHERE is_failure;
CREATE INDEX audit_log_group_correlation ON audit_log (group_id, correlation_id, seq);
CREATE INDEX audit_log_target ON audit_log (target_id, pos);
CREATE INDEX audit_log_correlation ON audit_log (correlation_id, pos);

-- Whether a mark has effect: the event that it names is an erasure, later in the same chain. (In SQL it would be
-- planned at each call. OFFSET has the event looked up by its id, and not by group_id and seq, among all later ones.)
CREATE FUNCTION audit_log_erased(mark text, of_group uuid, of_seq bigint) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN mark IS NOT NULL AND EXISTS (
        SELECT FROM (SELECT * FROM audit_log WHERE id = mark::uuid OFFSET 0) AS e
        WHERE e.group_id = of_group AND e.seq > of_seq AND e.erase IS NOT NULL);
END
$$;

-- No role, the owner included, changes what was written. What is let through: the foreign key becomes NULL; a part is
-- marked for an erasure whose event is not written yet, also one that was marked for another such; value and salt of a
-- part become NULL and its digest is stored, if its mark has effect; and so does the fingerprint of a request of which
-- an event is erased.
CREATE FUNCTION audit_log_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    marked jsonb;
    deleted jsonb;
    salts jsonb;
BEGIN
    IF TG_OP = 'UPDATE' AND NEW IS DISTINCT FROM OLD THEN
        IF NEW.tenant_id IS NULL THEN
            OLD.tenant_id := NULL;
        END IF;
        IF NEW.marks IS DISTINCT FROM OLD.marks THEN
            salts := to_jsonb(OLD);
            SELECT jsonb_object_agg(n.key, n.mark) INTO marked
            FROM (
                SELECT n.mark, array_agg(n.key) AS keys FROM jsonb_each_text(NEW.marks) AS n (key, mark)
                WHERE n.mark IS DISTINCT FROM OLD.marks ->> n.key AND salts ->> (n.key || '_salt') IS NOT NULL
                    AND NOT audit_log_erased(OLD.marks ->> n.key, OLD.group_id, OLD.seq)
                GROUP BY n.mark
            ) AS m CROSS JOIN LATERAL (SELECT m.mark, k.key FROM unnest(m.keys) AS k (key)) AS n
            WHERE NOT EXISTS (SELECT FROM audit_log e WHERE e.id = m.mark::uuid);
            OLD.marks := nullif(coalesce(OLD.marks, '{}') || coalesce(marked, '{}'), '{}');
        END IF;
        IF NEW.digests IS DISTINCT FROM OLD.digests THEN
            SELECT jsonb_object_agg(d.key, d.value) INTO deleted
            FROM (
                SELECT mark, audit_log_erased(mark, OLD.group_id, OLD.seq) AS effective
                FROM (SELECT DISTINCT m.value AS mark FROM jsonb_each_text(OLD.marks) AS m) AS m
            ) AS m JOIN jsonb_each_text(NEW.digests) AS d ON OLD.marks ->> d.key = m.mark
            WHERE m.effective AND d.value ~ '^[0-9a-f]{64}$' AND NOT coalesce(OLD.digests ? d.key, false);
            IF deleted ? 'actor' THEN
                OLD.actor_id := NULL; OLD.actor_name := NULL; OLD.actor_href := NULL; OLD.actor_type := NULL;
                OLD.actor_fields := NULL; OLD.actor_salt := NULL;
            END IF;
            IF deleted ? 'emitter' THEN
                OLD.emitter_id := NULL; OLD.emitter_name := NULL; OLD.emitter_salt := NULL;
            END IF;
            IF deleted ? 'fields' THEN OLD.fields := NULL; OLD.fields_salt := NULL; END IF;
            IF deleted ? 'group' THEN OLD.group_name := NULL; OLD.group_salt := NULL; END IF;
            IF deleted ? 'hash' THEN OLD.hash := NULL; OLD.hash_salt := NULL; END IF;
            IF deleted ? 'metadata' THEN OLD.metadata := NULL; OLD.metadata_salt := NULL; END IF;
            IF deleted ? 'on_behalf_of' THEN
                OLD.on_behalf_of_id := NULL; OLD.on_behalf_of_name := NULL; OLD.on_behalf_of_salt := NULL;
            END IF;
            IF deleted ? 'source' THEN OLD.source_ip := NULL; OLD.source_salt := NULL; END IF;
            IF deleted ? 'target' THEN
                OLD.target_id := NULL; OLD.target_name := NULL; OLD.target_href := NULL; OLD.target_type := NULL;
                OLD.target_fields := NULL; OLD.target_salt := NULL;
            END IF;
            IF deleted ? 'text' THEN
                OLD.description := NULL; OLD.external_id := NULL; OLD.correlation_id := NULL; OLD.component := NULL;
                OLD.version := NULL; OLD.text_salt := NULL;
            END IF;
            OLD.digests := nullif(coalesce(OLD.digests, '{}') || coalesce(deleted, '{}'), '{}');
        END IF;
        IF NEW.idempotency_fingerprint IS NULL AND OLD.idempotency_fingerprint IS NOT NULL AND EXISTS (
            SELECT FROM audit_log e, jsonb_each_text(e.marks) AS m
            WHERE e.idempotency_key = OLD.idempotency_key AND audit_log_erased(m.value, e.group_id, e.seq)
        ) THEN
            OLD.idempotency_fingerprint := NULL;
        END IF;
        IF NEW IS NOT DISTINCT FROM OLD THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'audit_log is append-only: % refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END
$$;

-- What an erasure does, and all that the role of the server may do to events that are written. Without digests it marks
-- parts of one chain's events for the erasure whose event will have the id; with them it deletes parts whose marks have
-- effect, and the fingerprints of the requests that their events belong to. It deletes no event. Each event is looked
-- up by its place, whatever the statistics say.
CREATE FUNCTION audit_log_erase(
    chain uuid, erasure uuid, at bigint[], parts text[], part_digests text[]
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
    keys bytea[];
BEGIN
    IF part_digests IS NULL THEN
        UPDATE audit_log AS a SET marks = coalesce(a.marks, '{}') || m.marks
        FROM (SELECT g.seq, jsonb_object_agg(g.part, erasure) AS marks FROM unnest(at, parts) AS g (seq, part)
            GROUP BY g.seq) AS m
        WHERE a.group_id = chain AND a.seq = m.seq AND NOT coalesce(a.marks @> m.marks, false);
        RETURN;
    END IF;
    WITH given AS (
        SELECT g.seq, jsonb_object_agg(g.part, g.digest) AS digests
        FROM unnest(at, parts, part_digests) AS g (seq, part, digest) GROUP BY g.seq
    ), erased AS (
        UPDATE audit_log AS a SET digests = g.digests || coalesce(a.digests, '{}'),
            actor_id = CASE WHEN NOT g.digests ? 'actor' THEN a.actor_id END,
            actor_name = CASE WHEN NOT g.digests ? 'actor' THEN a.actor_name END,
            actor_href = CASE WHEN NOT g.digests ? 'actor' THEN a.actor_href END,
            actor_type = CASE WHEN NOT g.digests ? 'actor' THEN a.actor_type END,
            actor_fields = CASE WHEN NOT g.digests ? 'actor' THEN a.actor_fields END,
            actor_salt = CASE WHEN NOT g.digests ? 'actor' THEN a.actor_salt END,
            emitter_id = CASE WHEN NOT g.digests ? 'emitter' THEN a.emitter_id END,
            emitter_name = CASE WHEN NOT g.digests ? 'emitter' THEN a.emitter_name END,
            emitter_salt = CASE WHEN NOT g.digests ? 'emitter' THEN a.emitter_salt END,
            fields = CASE WHEN NOT g.digests ? 'fields' THEN a.fields END,
            fields_salt = CASE WHEN NOT g.digests ? 'fields' THEN a.fields_salt END,
            group_name = CASE WHEN NOT g.digests ? 'group' THEN a.group_name END,
            group_salt = CASE WHEN NOT g.digests ? 'group' THEN a.group_salt END,
            hash = CASE WHEN NOT g.digests ? 'hash' THEN a.hash END,
            hash_salt = CASE WHEN NOT g.digests ? 'hash' THEN a.hash_salt END,
            metadata = CASE WHEN NOT g.digests ? 'metadata' THEN a.metadata END,
            metadata_salt = CASE WHEN NOT g.digests ? 'metadata' THEN a.metadata_salt END,
            on_behalf_of_id = CASE WHEN NOT g.digests ? 'on_behalf_of' THEN a.on_behalf_of_id END,
            on_behalf_of_name = CASE WHEN NOT g.digests ? 'on_behalf_of' THEN a.on_behalf_of_name END,
            on_behalf_of_salt = CASE WHEN NOT g.digests ? 'on_behalf_of' THEN a.on_behalf_of_salt END,
            source_ip = CASE WHEN NOT g.digests ? 'source' THEN a.source_ip END,
            source_salt = CASE WHEN NOT g.digests ? 'source' THEN a.source_salt END,
            target_id = CASE WHEN NOT g.digests ? 'target' THEN a.target_id END,
            target_name = CASE WHEN NOT g.digests ? 'target' THEN a.target_name END,
            target_href = CASE WHEN NOT g.digests ? 'target' THEN a.target_href END,
            target_type = CASE WHEN NOT g.digests ? 'target' THEN a.target_type END,
            target_fields = CASE WHEN NOT g.digests ? 'target' THEN a.target_fields END,
            target_salt = CASE WHEN NOT g.digests ? 'target' THEN a.target_salt END,
            description = CASE WHEN NOT g.digests ? 'text' THEN a.description END,
            external_id = CASE WHEN NOT g.digests ? 'text' THEN a.external_id END,
            correlation_id = CASE WHEN NOT g.digests ? 'text' THEN a.correlation_id END,
            component = CASE WHEN NOT g.digests ? 'text' THEN a.component END,
            version = CASE WHEN NOT g.digests ? 'text' THEN a.version END,
            text_salt = CASE WHEN NOT g.digests ? 'text' THEN a.text_salt END
        FROM given AS g
        WHERE a.group_id = chain AND a.seq = g.seq
            AND g.digests || coalesce(a.digests, '{}') <> coalesce(a.digests, '{}')
        RETURNING a.idempotency_key
    )
    SELECT array_agg(DISTINCT e.idempotency_key) INTO keys FROM erased AS e WHERE e.idempotency_key IS NOT NULL;
    IF keys IS NOT NULL THEN
        UPDATE audit_log SET idempotency_fingerprint = NULL
        WHERE idempotency_key = ANY (keys) AND idempotency_fingerprint IS NOT NULL;
    END IF;
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
            SELECT pos, group_id, seq, prev_chain_hash, marks, digests, lag(pos) OVER log AS before_pos,
                lag(seq) OVER chain AS before_seq, lag(chain_hash) OVER chain AS before_hash
            FROM inserted WINDOW log AS (ORDER BY pos), chain AS (PARTITION BY group_id ORDER BY seq)
        ) AS e
        WHERE e.before_pos IS DISTINCT FROM e.pos - 1 AND e.pos - 1 IS DISTINCT FROM coalesce(
                (SELECT p.pos FROM audit_log p WHERE p.pos < e.pos ORDER BY p.pos DESC LIMIT 1), 0)
            OR e.marks IS NOT NULL OR e.digests IS NOT NULL
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

-- Where the log and some chains stand: the newest pos, with NULL for its group, and the newest event of each group that
-- has one. Each is the first row of an index, also in a session that made its plan while the log was empty.
CREATE FUNCTION audit_log_heads(groups uuid[]) RETURNS TABLE (of_group uuid, place bigint, hash bytea) LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off AS $$
BEGIN
    RETURN QUERY SELECT NULL::uuid, a.pos, NULL::bytea FROM audit_log a ORDER BY a.pos DESC LIMIT 1;
    RETURN QUERY SELECT last.group_id, last.seq, last.chain_hash FROM unnest(groups) AS g (id)
        CROSS JOIN LATERAL (SELECT * FROM audit_log a WHERE a.group_id = g.id ORDER BY a.seq DESC LIMIT 1) AS last;
END
$$;

-- A function runs with the search_path of its caller, who could put another "=" before Postgres's own. So each has its
-- own path: Postgres's, then this schema, and temporary objects last. And no one may erase but who is granted it.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'notify_cache_flush()', 'audit_log_append_only()', 'audit_log_places()', 'audit_log_heads(uuid[])',
        'audit_log_erased(text, uuid, bigint)',
        'audit_log_erase(uuid, uuid, bigint[], text[], text[])'
    ] LOOP
        EXECUTE format('ALTER FUNCTION %1$I.%2$s SET search_path = pg_catalog, %1$I, pg_temp', current_schema(), name);
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION audit_log_erase(uuid, uuid, bigint[], text[], text[]) FROM PUBLIC;
