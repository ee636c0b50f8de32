-- Privacy: what keeps the policy's promises and shows that they are kept.

CREATE SCHEMA privacy;
REVOKE ALL ON SCHEMA privacy FROM PUBLIC;
GRANT USAGE ON SCHEMA privacy TO ruxa_gateway, ruxa_console, ruxa_worker, ruxa_operator;

-- Retention: what the hourly job did, how old the oldest of each class is, which clock it trusts, and what is on hold.

CREATE TABLE privacy.retention_run (
    id             uuid PRIMARY KEY,
    started_at     timestamptz NOT NULL DEFAULT ruxa.now(),
    ended_at       timestamptz,
    state          text NOT NULL CHECK (state IN ('running', 'done', 'paused', 'failed')),
    cause          text NOT NULL CHECK (cause IN ('schedule', 'command')),
    code           text CHECK (code ~ '^[a-zA-Z0-9_]{1,60}$'),
    planned        integer NOT NULL DEFAULT 0 CHECK (planned >= 0),
    destroyed      bigint NOT NULL DEFAULT 0 CHECK (destroyed >= 0),
    held           bigint NOT NULL DEFAULT 0 CHECK (held >= 0),
    left_over      bigint NOT NULL DEFAULT 0 CHECK (left_over >= 0),
    planned_entry  uuid,
    done_entry     uuid,
    CHECK ((state = 'running') = (ended_at IS NULL))
);
CREATE INDEX retention_run_done ON privacy.retention_run (ended_at) WHERE state = 'done';
COMMENT ON TABLE privacy.retention_run IS
    'One run of the retention job: what it planned, destroyed, kept for holds; the audit entries before and after.';
COMMENT ON COLUMN privacy.retention_run.id IS 'data: none';
COMMENT ON COLUMN privacy.retention_run.started_at IS 'data: none';
COMMENT ON COLUMN privacy.retention_run.ended_at IS 'data: none';
COMMENT ON COLUMN privacy.retention_run.state IS 'data: none';
COMMENT ON COLUMN privacy.retention_run.cause IS 'data: none';
COMMENT ON COLUMN privacy.retention_run.code IS 'data: none';
COMMENT ON COLUMN privacy.retention_run.planned IS 'data: none';
COMMENT ON COLUMN privacy.retention_run.destroyed IS 'data: none';
COMMENT ON COLUMN privacy.retention_run.held IS 'data: none';
COMMENT ON COLUMN privacy.retention_run.left_over IS 'data: none';
COMMENT ON COLUMN privacy.retention_run.planned_entry IS 'data: none';
COMMENT ON COLUMN privacy.retention_run.done_entry IS 'data: none';

CREATE TABLE privacy.retention_state (
    class       text PRIMARY KEY CHECK (class ~ '^[a-z_]{1,40}$'),
    oldest_at   timestamptz,
    checked_at  timestamptz NOT NULL
);
COMMENT ON TABLE privacy.retention_state IS 'How old the oldest item of each class was when the last run had ended.';
COMMENT ON COLUMN privacy.retention_state.class IS 'data: none';
COMMENT ON COLUMN privacy.retention_state.oldest_at IS 'data: none';
COMMENT ON COLUMN privacy.retention_state.checked_at IS 'data: none';

-- The anchor is a moment of the machine's uptime for which the database's clock was believed.
CREATE TABLE privacy.retention_clock (
    one           boolean PRIMARY KEY DEFAULT true CHECK (one),
    boot          text NOT NULL CHECK (length(boot) <= 64),
    uptime_ms     bigint NOT NULL,
    database_ms   bigint NOT NULL,
    seen_ms       bigint NOT NULL,
    jump_ms       bigint,
    paused_at     timestamptz,
    CHECK ((jump_ms IS NULL) = (paused_at IS NULL))
);
COMMENT ON TABLE privacy.retention_clock IS
    'Which clock is believed (unmoved, milliseconds): at uptime_ms of boot it was database_ms; last seen at seen_ms.';
COMMENT ON COLUMN privacy.retention_clock.one IS 'data: none';
COMMENT ON COLUMN privacy.retention_clock.boot IS 'data: none';
COMMENT ON COLUMN privacy.retention_clock.uptime_ms IS 'data: none';
COMMENT ON COLUMN privacy.retention_clock.database_ms IS 'data: none';
COMMENT ON COLUMN privacy.retention_clock.seen_ms IS 'data: none';
COMMENT ON COLUMN privacy.retention_clock.jump_ms IS 'data: none';
COMMENT ON COLUMN privacy.retention_clock.paused_at IS 'data: none';

CREATE TABLE privacy.hold (
    id               uuid PRIMARY KEY,
    scope            text NOT NULL CHECK (scope IN ('organisation', 'member')),
    subject_id       uuid NOT NULL,
    reason_sealed    bytea,
    basis            text NOT NULL CHECK (basis IN ('legal_claim', 'legal_obligation', 'authority', 'dispute')),
    owner_id         uuid NOT NULL,
    approver_id      uuid,
    gagged           boolean NOT NULL,
    placed_at        timestamptz NOT NULL DEFAULT ruxa.now(),
    approved_at      timestamptz,
    ends_at          timestamptz NOT NULL,
    ended_at         timestamptz,
    told_at          timestamptz,
    CONSTRAINT hold_four_eyes CHECK (approver_id <> owner_id),
    CONSTRAINT hold_approved CHECK ((approver_id IS NULL) = (approved_at IS NULL)),
    CONSTRAINT hold_twelve_months CHECK (ends_at > placed_at AND ends_at <= placed_at + interval '12 months'),
    CHECK (reason_sealed IS NOT NULL OR ended_at IS NOT NULL)
);
CREATE INDEX hold_living ON privacy.hold (subject_id) WHERE ended_at IS NULL;
COMMENT ON TABLE privacy.hold IS
    'A reason not to delete yet: of one organisation or member, by two people, for at most twelve months, counted in public.';
COMMENT ON COLUMN privacy.hold.id IS 'data: none';
COMMENT ON COLUMN privacy.hold.scope IS 'data: none';
COMMENT ON COLUMN privacy.hold.subject_id IS
    'data: category=user.unique_id subject=member purpose=legal basis=legal_obligation keep=hold seal=none
     erase=keep:dispute export=no:security';
COMMENT ON COLUMN privacy.hold.reason_sealed IS
    'data: category=user.content.private subject=member purpose=legal basis=legal_obligation keep=hold seal=hold
     erase=keep:dispute export=no:security';
COMMENT ON COLUMN privacy.hold.basis IS 'data: none';
COMMENT ON COLUMN privacy.hold.owner_id IS
    'data: category=user.unique_id subject=staff purpose=legal,proof basis=legal_obligation keep=audit seal=none
     erase=keep:proof export=yes';
COMMENT ON COLUMN privacy.hold.approver_id IS
    'data: category=user.unique_id subject=staff purpose=legal,proof basis=legal_obligation keep=audit seal=none
     erase=keep:proof export=yes';
COMMENT ON COLUMN privacy.hold.gagged IS 'data: none';
COMMENT ON COLUMN privacy.hold.placed_at IS 'data: none';
COMMENT ON COLUMN privacy.hold.approved_at IS 'data: none';
COMMENT ON COLUMN privacy.hold.ends_at IS 'data: none';
COMMENT ON COLUMN privacy.hold.ended_at IS 'data: none';
COMMENT ON COLUMN privacy.hold.told_at IS 'data: none';

-- A hold is placed by one, approved by another, ended once; nothing else of it changes.
CREATE FUNCTION privacy.hold_guard() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (NEW.id, NEW.scope, NEW.subject_id, NEW.basis, NEW.owner_id, NEW.gagged, NEW.placed_at, NEW.ends_at)
            IS DISTINCT FROM
            (OLD.id, OLD.scope, OLD.subject_id, OLD.basis, OLD.owner_id, OLD.gagged, OLD.placed_at, OLD.ends_at)
        OR OLD.approved_at IS NOT NULL
            AND (NEW.approved_at, NEW.approver_id) IS DISTINCT FROM (OLD.approved_at, OLD.approver_id)
        OR OLD.ended_at IS NOT NULL AND NEW.ended_at IS DISTINCT FROM OLD.ended_at
        OR NEW.reason_sealed IS DISTINCT FROM OLD.reason_sealed AND NEW.reason_sealed IS NOT NULL THEN
        RAISE EXCEPTION 'a hold is not changed' USING ERRCODE = 'RX601';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER hold_stays BEFORE UPDATE ON privacy.hold FOR EACH ROW EXECUTE FUNCTION privacy.hold_guard();

CREATE TABLE privacy.held_item (
    hold_id      uuid NOT NULL REFERENCES privacy.hold (id),
    store        text NOT NULL CHECK (store ~ '^[a-z_]{1,40}$'),
    item_id      uuid NOT NULL,
    part         text NOT NULL CHECK (part ~ '^[a-z_]{1,40}$'),
    body_sealed  bytea NOT NULL,
    kept_at      timestamptz NOT NULL DEFAULT ruxa.now(),
    PRIMARY KEY (hold_id, store, item_id, part)
);
ALTER TABLE privacy.hold ALTER COLUMN reason_sealed SET STATISTICS 0;
ALTER TABLE privacy.held_item ALTER COLUMN body_sealed SET STATISTICS 0;
ALTER TABLE privacy.held_item ALTER COLUMN body_sealed SET STORAGE EXTERNAL;
COMMENT ON TABLE privacy.held_item IS
    'What a hold keeps beyond its limit, sealed under the hold''s own key; its end destroys that key.';
COMMENT ON COLUMN privacy.held_item.hold_id IS 'data: none';
COMMENT ON COLUMN privacy.held_item.store IS 'data: none';
COMMENT ON COLUMN privacy.held_item.item_id IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=legal basis=legal_obligation keep=hold
     seal=none erase=keep:dispute export=no:security';
COMMENT ON COLUMN privacy.held_item.part IS 'data: none';
COMMENT ON COLUMN privacy.held_item.body_sealed IS
    'data: category=user.content,user.telemetry subject=organisation purpose=legal basis=legal_obligation keep=hold
     seal=hold erase=keep:dispute export=no:security';
COMMENT ON COLUMN privacy.held_item.kept_at IS 'data: none';

-- How many holds stop a deletion now: the only thing the public learns of them.
CREATE FUNCTION privacy.holds_living() RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT count(*) FROM privacy.hold AS h
    WHERE h.ended_at IS NULL AND h.ends_at > ruxa.now()
        AND (h.approved_at IS NOT NULL OR h.placed_at > ruxa.now() - interval '3 days')
$$;

REVOKE ALL ON FUNCTION privacy.holds_living(), privacy.hold_guard() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION privacy.holds_living() TO ruxa_console, ruxa_worker, ruxa_operator;
GRANT SELECT ON privacy.retention_run, privacy.retention_state, privacy.retention_clock
    TO ruxa_console, ruxa_worker, ruxa_operator;
GRANT SELECT (ended_at, state) ON privacy.retention_run TO ruxa_gateway;
GRANT INSERT, UPDATE, DELETE ON privacy.retention_run, privacy.retention_state, privacy.retention_clock
    TO ruxa_worker, ruxa_operator;
GRANT SELECT, INSERT ON privacy.hold TO ruxa_console, ruxa_worker, ruxa_operator;
GRANT UPDATE (approver_id, approved_at, ended_at, told_at, reason_sealed) ON privacy.hold
    TO ruxa_console, ruxa_worker, ruxa_operator;
GRANT SELECT, INSERT, DELETE ON privacy.held_item TO ruxa_worker, ruxa_operator;
GRANT SELECT (hold_id) ON privacy.held_item TO ruxa_console; -- how many
