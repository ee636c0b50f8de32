-- Backups and drills: that they were made, and what a drill measured. Nothing here is about a person.

CREATE TABLE privacy.backup (
    id            uuid PRIMARY KEY,
    kind          text NOT NULL CHECK (kind IN ('logical', 'base', 'living', 'log', 'kit')),
    cause         text NOT NULL CHECK (cause IN ('schedule', 'command', 'drill')),
    state         text NOT NULL CHECK (state IN ('running', 'done', 'failed', 'expired')),
    name          text CHECK (length(name) <= 100),
    code          text CHECK (code ~ '^[a-zA-Z0-9_]{1,60}$'),
    bytes         bigint CHECK (bytes >= 0),
    items         integer CHECK (items >= 0),
    taken_at      timestamptz,
    started_at    timestamptz NOT NULL DEFAULT ruxa.now(),
    ended_at      timestamptz,
    expired_at    timestamptz,
    CHECK ((state = 'running') = (ended_at IS NULL)),
    CHECK ((state = 'failed') = (code IS NOT NULL)),
    CHECK ((state = 'expired') = (expired_at IS NOT NULL))
);
CREATE INDEX backup_kind ON privacy.backup (kind, ended_at) WHERE state IN ('done', 'expired');
CREATE INDEX backup_started ON privacy.backup (started_at);
COMMENT ON TABLE privacy.backup IS
    'Each backup, key export, archived piece of the log and recovery kit: when, how large, and when it was removed.';
COMMENT ON COLUMN privacy.backup.id IS 'data: none';
COMMENT ON COLUMN privacy.backup.kind IS 'data: none';
COMMENT ON COLUMN privacy.backup.cause IS 'data: none';
COMMENT ON COLUMN privacy.backup.state IS 'data: none';
COMMENT ON COLUMN privacy.backup.name IS 'data: none';
COMMENT ON COLUMN privacy.backup.code IS 'data: none';
COMMENT ON COLUMN privacy.backup.bytes IS 'data: none';
COMMENT ON COLUMN privacy.backup.items IS 'data: none';
COMMENT ON COLUMN privacy.backup.taken_at IS 'data: none';
COMMENT ON COLUMN privacy.backup.started_at IS 'data: none';
COMMENT ON COLUMN privacy.backup.ended_at IS 'data: none';
COMMENT ON COLUMN privacy.backup.expired_at IS 'data: none';

CREATE TABLE privacy.restore_drill (
    id            uuid PRIMARY KEY,
    cause         text NOT NULL CHECK (cause IN ('schedule', 'command')),
    state         text NOT NULL CHECK (state IN ('running', 'passed', 'failed')),
    backup        text CHECK (length(backup) <= 100),
    living        text CHECK (length(living) <= 100),
    code          text CHECK (code ~ '^[a-zA-Z0-9_]{1,60}$'),
    rpo_s         bigint CHECK (rpo_s >= 0),
    rto_ms        bigint CHECK (rto_ms >= 0),
    rows          bigint CHECK (rows >= 0),
    examined      integer NOT NULL DEFAULT 0 CHECK (examined >= 0),
    failures      text[] NOT NULL DEFAULT '{}',
    erased        integer CHECK (erased >= 0),
    readable      integer CHECK (readable >= 0),
    started_at    timestamptz NOT NULL DEFAULT ruxa.now(),
    ended_at      timestamptz,
    CHECK ((state = 'running') = (ended_at IS NULL)),
    -- A drill that examined nothing shows nothing.
    CHECK (state <> 'passed' OR (examined > 0 AND readable = 0 AND cardinality(failures) = 0))
);
CREATE INDEX restore_drill_ended ON privacy.restore_drill (ended_at);
COMMENT ON TABLE privacy.restore_drill IS
    'Each restore on a scratch instance from the targets and the kit alone: time, age of the data, checks, erased readable.';
COMMENT ON COLUMN privacy.restore_drill.id IS 'data: none';
COMMENT ON COLUMN privacy.restore_drill.cause IS 'data: none';
COMMENT ON COLUMN privacy.restore_drill.state IS 'data: none';
COMMENT ON COLUMN privacy.restore_drill.backup IS 'data: none';
COMMENT ON COLUMN privacy.restore_drill.living IS 'data: none';
COMMENT ON COLUMN privacy.restore_drill.code IS 'data: none';
COMMENT ON COLUMN privacy.restore_drill.rpo_s IS 'data: none';
COMMENT ON COLUMN privacy.restore_drill.rto_ms IS 'data: none';
COMMENT ON COLUMN privacy.restore_drill.rows IS 'data: none';
COMMENT ON COLUMN privacy.restore_drill.examined IS 'data: none';
COMMENT ON COLUMN privacy.restore_drill.failures IS 'data: none';
COMMENT ON COLUMN privacy.restore_drill.erased IS 'data: none';
COMMENT ON COLUMN privacy.restore_drill.readable IS 'data: none';
COMMENT ON COLUMN privacy.restore_drill.started_at IS 'data: none';
COMMENT ON COLUMN privacy.restore_drill.ended_at IS 'data: none';

GRANT SELECT ON privacy.backup, privacy.restore_drill TO ruxa_console, ruxa_worker, ruxa_operator;
GRANT INSERT, UPDATE ON privacy.backup, privacy.restore_drill TO ruxa_worker, ruxa_operator;
GRANT DELETE ON privacy.backup TO ruxa_worker, ruxa_operator;
