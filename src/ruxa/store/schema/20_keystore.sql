-- The keystore (D28): every key wrapped under an epoch key that lives outside the database and outside every backup.
-- No other table holds a key, and no login but ruxa_keystore reads these.

CREATE SCHEMA keystore;
REVOKE ALL ON SCHEMA keystore FROM PUBLIC;
GRANT USAGE ON SCHEMA keystore TO ruxa_keystore;

CREATE TABLE keystore.epoch (
    id              uuid PRIMARY KEY,
    state           text NOT NULL CHECK (state IN ('current', 'retiring', 'destroyed')),
    created_at      timestamptz NOT NULL DEFAULT ruxa.now(),
    destroyed_at    timestamptz,
    CONSTRAINT epoch_destroyed CHECK ((state = 'destroyed') = (destroyed_at IS NOT NULL))
);
CREATE UNIQUE INDEX epoch_one_current ON keystore.epoch (state) WHERE state = 'current';
COMMENT ON TABLE keystore.epoch IS 'A life of at most 7 days; its key is a file of KEYS (or a KMS key) named by the id.';
COMMENT ON COLUMN keystore.epoch.id IS 'data: none';
COMMENT ON COLUMN keystore.epoch.state IS 'data: none';
COMMENT ON COLUMN keystore.epoch.created_at IS 'data: none';
COMMENT ON COLUMN keystore.epoch.destroyed_at IS 'data: none';

CREATE TABLE keystore.key (
    id          bytea PRIMARY KEY CHECK (octet_length(id) = 8),
    kind        text NOT NULL CHECK (kind IN ('root', 'subject', 'day')),
    class       text NOT NULL,
    subject     uuid,
    day         date,
    epoch       uuid NOT NULL REFERENCES keystore.epoch (id),
    wrapped     bytea NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT ruxa.now(),
    CONSTRAINT key_shape CHECK ((kind = 'subject') = (subject IS NOT NULL) AND (kind = 'day') = (day IS NOT NULL))
);
ALTER TABLE keystore.key ALTER COLUMN wrapped SET STATISTICS 0;
CREATE UNIQUE INDEX key_one_root ON keystore.key (class) WHERE kind = 'root';
CREATE UNIQUE INDEX key_one_subject ON keystore.key (subject, class) WHERE kind = 'subject';
CREATE UNIQUE INDEX key_one_day ON keystore.key (class, day) WHERE kind = 'day';
CREATE INDEX key_epoch ON keystore.key (epoch);
COMMENT ON TABLE keystore.key IS 'A row deleted is a key destroyed: at once in service, in every copy when its epoch ends.';
COMMENT ON COLUMN keystore.key.id IS 'data: none';
COMMENT ON COLUMN keystore.key.kind IS 'data: none';
COMMENT ON COLUMN keystore.key.class IS 'data: none';
COMMENT ON COLUMN keystore.key.subject IS
    'data: category=user.unique_id.pseudonymous subject=member purpose=provide basis=contract
     keep=account seal=none erase=delete export=no:secret';
COMMENT ON COLUMN keystore.key.day IS 'data: none';
COMMENT ON COLUMN keystore.key.epoch IS 'data: none';
COMMENT ON COLUMN keystore.key.wrapped IS
    'data: category=system.authentication subject=member purpose=security basis=legitimate_interest
     keep=account seal=none erase=delete export=no:secret';
COMMENT ON COLUMN keystore.key.created_at IS 'data: none';

CREATE TABLE keystore.destruction (
    key_id          bytea PRIMARY KEY CHECK (octet_length(key_id) = 8),
    kind            text NOT NULL CHECK (kind IN ('subject', 'day')),
    class           text NOT NULL,
    day             date,
    epoch           uuid NOT NULL REFERENCES keystore.epoch (id),
    destroyed_at    timestamptz NOT NULL DEFAULT ruxa.now()
);
CREATE UNIQUE INDEX destruction_one_day ON keystore.destruction (class, day) WHERE kind = 'day';
COMMENT ON TABLE keystore.destruction IS
    'What was destroyed: gone in service at destroyed_at, gone in every copy when that epoch is destroyed. No subject.';
COMMENT ON COLUMN keystore.destruction.key_id IS 'data: none';
COMMENT ON COLUMN keystore.destruction.kind IS 'data: none';
COMMENT ON COLUMN keystore.destruction.class IS 'data: none';
COMMENT ON COLUMN keystore.destruction.day IS 'data: none';
COMMENT ON COLUMN keystore.destruction.epoch IS 'data: none';
COMMENT ON COLUMN keystore.destruction.destroyed_at IS 'data: none';

GRANT SELECT, INSERT, UPDATE ON keystore.epoch TO ruxa_keystore;
GRANT SELECT, INSERT, DELETE, UPDATE (epoch, wrapped) ON keystore.key TO ruxa_keystore;
GRANT SELECT, INSERT ON keystore.destruction TO ruxa_keystore;
