-- The table that pgbench inserts into: audit_log as it was on 2026-11-27, with its columns, constraints, indexes and
-- append-only triggers. It never changes: what audit_log gains is to show in the ratio, not in both halves of a pair.
CREATE TYPE bench_crud AS ENUM ('c', 'r', 'u', 'd');
CREATE TABLE bench_log (
    pos             bigint PRIMARY KEY,
    id              uuid NOT NULL,
    group_id        uuid NOT NULL,
    seq             bigint NOT NULL,
    tenant_id       uuid REFERENCES tenants (id) ON DELETE SET NULL,
    group_name      text,
    action          text COLLATE "C" NOT NULL,
    area            text COLLATE "C" NOT NULL,
    crud            bench_crud NOT NULL,
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
    idempotency_key         bytea,
    idempotency_fingerprint bytea,
    idempotency_ordinal     integer,
    CONSTRAINT bench_log_id_key UNIQUE (id),
    CONSTRAINT bench_log_group_id_seq_key UNIQUE (group_id, seq),
    CONSTRAINT bench_log_hashes_check CHECK (
        octet_length(hash) = 32 AND octet_length(prev_chain_hash) = 32 AND octet_length(chain_hash) = 32
        AND octet_length(idempotency_key) = 32 AND octet_length(idempotency_fingerprint) = 32),
    CONSTRAINT bench_log_idempotency_check CHECK (
        num_nulls(idempotency_key, idempotency_fingerprint, idempotency_ordinal) IN (0, 3)
    ),
    CONSTRAINT bench_log_numbers_check CHECK (pos >= 1 AND seq >= 1)
);
CREATE UNIQUE INDEX bench_log_idempotency_key ON bench_log (idempotency_key, idempotency_ordinal)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX bench_log_tenant ON bench_log (tenant_id) WHERE tenant_id IS NOT NULL;
CREATE INDEX bench_log_group_action ON bench_log (group_id, action, seq);
CREATE INDEX bench_log_group_area ON bench_log (group_id, area, seq);
CREATE INDEX bench_log_group_actor ON bench_log (group_id, actor_id, seq);
CREATE INDEX bench_log_group_target ON bench_log (group_id, target_id, seq);
CREATE INDEX bench_log_group_failure ON bench_log (group_id, seq) WHERE is_failure;
CREATE INDEX bench_log_group_correlation ON bench_log (group_id, correlation_id, seq);
CREATE INDEX bench_log_action ON bench_log (action, pos);
CREATE INDEX bench_log_area ON bench_log (area, pos);
CREATE INDEX bench_log_actor ON bench_log (actor_id, pos);
CREATE INDEX bench_log_target ON bench_log (target_id, pos);
CREATE INDEX bench_log_failure ON bench_log (pos) WHERE is_failure;
CREATE INDEX bench_log_correlation ON bench_log (correlation_id, pos);

CREATE FUNCTION bench_log_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.tenant_id IS NOT NULL AND NEW.tenant_id IS NULL THEN
        OLD.tenant_id := NULL;
        IF NEW IS NOT DISTINCT FROM OLD THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'bench_log is append-only: % refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER bench_log_append_only BEFORE UPDATE OR DELETE ON bench_log
    FOR EACH ROW EXECUTE FUNCTION bench_log_append_only();
CREATE TRIGGER bench_log_no_truncate BEFORE TRUNCATE ON bench_log
    FOR EACH STATEMENT EXECUTE FUNCTION bench_log_append_only();

CREATE SEQUENCE bench_pos START 1000000;
CREATE SEQUENCE bench_seq;
