-- The keystore (D28): every key wrapped under an epoch key that lives outside the database and outside every backup.
-- No other table holds a key, and no login but ruxa_keystore reads these.

CREATE SCHEMA keystore;
REVOKE ALL ON SCHEMA keystore FROM PUBLIC;
GRANT USAGE ON SCHEMA keystore TO ruxa_keystore;

CREATE TABLE keystore.epoch (
    id              uuid PRIMARY KEY,
    state           text NOT NULL CHECK (state IN ('current', 'retiring', 'destroyed')),
    provider        text NOT NULL DEFAULT 'directory',
    wrapped         bytea,
    created_at      timestamptz NOT NULL DEFAULT ruxa.now(),
    destroyed_at    timestamptz,
    CONSTRAINT epoch_destroyed CHECK ((state = 'destroyed') = (destroyed_at IS NOT NULL)),
    CONSTRAINT epoch_forgotten CHECK (state <> 'destroyed' OR wrapped IS NULL)
);
ALTER TABLE keystore.epoch ALTER COLUMN wrapped SET STATISTICS 0;
CREATE UNIQUE INDEX epoch_one_current ON keystore.epoch (state) WHERE state = 'current';
COMMENT ON TABLE keystore.epoch IS
    'A life of at most 7 days. Its key is a file of KEYS, or wrapped by a key of a key server; both named by the id.';
COMMENT ON COLUMN keystore.epoch.id IS 'data: none';
COMMENT ON COLUMN keystore.epoch.state IS 'data: none';
COMMENT ON COLUMN keystore.epoch.provider IS 'data: none';
COMMENT ON COLUMN keystore.epoch.wrapped IS 'data: none';
COMMENT ON COLUMN keystore.epoch.created_at IS 'data: none';
COMMENT ON COLUMN keystore.epoch.destroyed_at IS 'data: none';

-- root: class index or pepper. subject: class of data. day: class of data, day. billing: subject, first day of the
-- fiscal year. hold: subject is the hold's id. pseudonym: class is the provider, day the first of the quarter.
-- signing: class is the use; the secret is an Ed25519 seed, and keystore.public_key has the other half.
CREATE TABLE keystore.key (
    id              bytea PRIMARY KEY CHECK (octet_length(id) = 8),
    kind            text NOT NULL CHECK (kind IN ('root', 'subject', 'day', 'billing', 'hold', 'pseudonym', 'signing')),
    class           text NOT NULL,
    subject         uuid,
    day             date,
    version         integer NOT NULL DEFAULT 1 CHECK (version >= 1),
    epoch           uuid NOT NULL REFERENCES keystore.epoch (id),
    wrapped         bytea NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT ruxa.now(),
    superseded_at   timestamptz,
    CONSTRAINT key_shape CHECK (
        (kind IN ('subject', 'billing', 'hold')) = (subject IS NOT NULL)
        AND (kind IN ('day', 'billing', 'pseudonym')) = (day IS NOT NULL)
    ),
    CONSTRAINT key_one UNIQUE NULLS NOT DISTINCT (kind, class, subject, day, version)
);
ALTER TABLE keystore.key ALTER COLUMN id SET STATISTICS 0;
ALTER TABLE keystore.key ALTER COLUMN wrapped SET STATISTICS 0;
CREATE INDEX key_subject ON keystore.key (subject, class) WHERE subject IS NOT NULL;
CREATE INDEX key_epoch ON keystore.key (epoch);
CREATE INDEX key_superseded ON keystore.key (superseded_at) WHERE superseded_at IS NOT NULL;
COMMENT ON TABLE keystore.key IS 'A row deleted is a key destroyed: at once in service, in every copy when its epoch ends.';
COMMENT ON COLUMN keystore.key.id IS 'data: none';
COMMENT ON COLUMN keystore.key.kind IS 'data: none';
COMMENT ON COLUMN keystore.key.class IS 'data: none';
COMMENT ON COLUMN keystore.key.subject IS
    'data: category=user.unique_id.pseudonymous subject=member purpose=provide basis=contract
     keep=account seal=none erase=delete export=no:secret';
COMMENT ON COLUMN keystore.key.day IS 'data: none';
COMMENT ON COLUMN keystore.key.version IS 'data: none';
COMMENT ON COLUMN keystore.key.epoch IS 'data: none';
COMMENT ON COLUMN keystore.key.wrapped IS
    'data: category=system.authentication subject=member purpose=security basis=legitimate_interest
     keep=account seal=none erase=delete export=no:secret';
COMMENT ON COLUMN keystore.key.created_at IS 'data: none';
COMMENT ON COLUMN keystore.key.superseded_at IS 'data: none';

CREATE TABLE keystore.public_key (
    id              bytea PRIMARY KEY CHECK (octet_length(id) = 8),
    use             text NOT NULL,
    public          bytea NOT NULL CHECK (octet_length(public) = 32),
    valid_from      timestamptz NOT NULL,
    valid_until     timestamptz,
    CONSTRAINT public_key_valid CHECK (valid_until > valid_from)
);
ALTER TABLE keystore.public_key ALTER COLUMN id SET STATISTICS 0;
ALTER TABLE keystore.public_key ALTER COLUMN public SET STATISTICS 0;
CREATE INDEX public_key_use ON keystore.public_key (use, valid_from);
COMMENT ON TABLE keystore.public_key IS 'The public half of every signing key there ever was: published for ever.';
COMMENT ON COLUMN keystore.public_key.id IS 'data: none';
COMMENT ON COLUMN keystore.public_key.use IS 'data: none';
COMMENT ON COLUMN keystore.public_key.public IS 'data: none';
COMMENT ON COLUMN keystore.public_key.valid_from IS 'data: none';
COMMENT ON COLUMN keystore.public_key.valid_until IS 'data: none';

-- What every process that holds keys must have heard before anybody says that a key is gone.
CREATE TABLE keystore.change (
    number      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key_id      bytea NOT NULL CHECK (octet_length(key_id) = 8),
    what        text NOT NULL CHECK (what IN ('destroyed', 'superseded')),
    at          timestamptz NOT NULL DEFAULT ruxa.now()
);
ALTER TABLE keystore.change ALTER COLUMN key_id SET STATISTICS 0;
COMMENT ON TABLE keystore.change IS 'Keys to drop from memory, numbered in the order of their commits.';
COMMENT ON COLUMN keystore.change.number IS 'data: none';
COMMENT ON COLUMN keystore.change.key_id IS 'data: none';
COMMENT ON COLUMN keystore.change.what IS 'data: none';
COMMENT ON COLUMN keystore.change.at IS 'data: none';

CREATE TABLE keystore.destruction (
    key_id          bytea PRIMARY KEY CHECK (octet_length(key_id) = 8),
    number          bigint NOT NULL,
    kind            text NOT NULL CHECK (kind IN ('root', 'subject', 'day', 'billing', 'hold', 'pseudonym', 'signing')),
    class           text NOT NULL,
    day             date,
    epoch           uuid NOT NULL REFERENCES keystore.epoch (id),
    destroyed_at    timestamptz NOT NULL DEFAULT ruxa.now()
);
ALTER TABLE keystore.destruction ALTER COLUMN key_id SET STATISTICS 0;
CREATE UNIQUE INDEX destruction_one_day ON keystore.destruction (kind, class, day)
    WHERE kind IN ('day', 'pseudonym');
CREATE INDEX destruction_epoch ON keystore.destruction (epoch);
COMMENT ON TABLE keystore.destruction IS
    'What was destroyed: gone in service at destroyed_at, gone in every copy when that epoch is destroyed. No subject.';
COMMENT ON COLUMN keystore.destruction.key_id IS 'data: none';
COMMENT ON COLUMN keystore.destruction.number IS 'data: none';
COMMENT ON COLUMN keystore.destruction.kind IS 'data: none';
COMMENT ON COLUMN keystore.destruction.class IS 'data: none';
COMMENT ON COLUMN keystore.destruction.day IS 'data: none';
COMMENT ON COLUMN keystore.destruction.epoch IS 'data: none';
COMMENT ON COLUMN keystore.destruction.destroyed_at IS 'data: none';

-- Leases are in real time also where the instance's clock is simulated: they say how old a key in memory can be.
CREATE TABLE keystore.holder (
    id              uuid PRIMARY KEY,
    name            text NOT NULL,
    acknowledged    bigint NOT NULL,
    since           timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    alive_until     timestamptz NOT NULL
);
COMMENT ON TABLE keystore.holder IS
    'Processes that may hold keys in memory, each until alive_until at the latest, and up to which change they dropped.';
COMMENT ON COLUMN keystore.holder.id IS 'data: none';
COMMENT ON COLUMN keystore.holder.name IS 'data: none';
COMMENT ON COLUMN keystore.holder.acknowledged IS 'data: none';
COMMENT ON COLUMN keystore.holder.since IS 'data: none';
COMMENT ON COLUMN keystore.holder.alive_until IS 'data: none';

-- Rotation of a subject's key: the envelopes that an older version made, and putting a newer one in their place. Only
-- of columns declared as sealed, and only ciphertext; what else a row holds stays unseen but its ids and days, with one
-- of which the envelope is bound to its place.
CREATE FUNCTION keystore.sealed_column(named text) RETURNS TABLE (root regclass, leaf name)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT c.oid::regclass, a.attname
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE n.nspname || '.' || c.relname || '.' || a.attname = named AND c.relkind IN ('r', 'p') AND NOT c.relispartition
        AND a.atttypid = 'bytea'::regtype AND a.attnum > 0 AND NOT a.attisdropped
        AND col_description(c.oid, a.attnum) ~ '\mseal=(subject|dual)\M'
$$;

CREATE FUNCTION keystore.sealed_rows(named text, kids bytea[], after_part oid, after_spot tid, row_max integer)
    RETURNS TABLE (part oid, spot tid, ids uuid[], days date[], sealed bytea)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    root regclass;
    leaf name;
    uuids text;
    dates text;
BEGIN
    SELECT c.root, c.leaf INTO STRICT root, leaf FROM keystore.sealed_column(named) c;
    SELECT string_agg(format('t.%I', attname), ', ') FILTER (WHERE atttypid = 'uuid'::regtype),
        string_agg(format(CASE atttypid WHEN 'date'::regtype THEN 't.%I' ELSE '(t.%I AT TIME ZONE ''UTC'')::date' END,
            attname), ', ') FILTER (WHERE atttypid IN ('date'::regtype, 'timestamptz'::regtype))
        INTO uuids, dates
        FROM pg_attribute WHERE attrelid = root AND attnum > 0 AND NOT attisdropped;
    RETURN QUERY EXECUTE format(
        'SELECT t.tableoid, t.ctid, ARRAY[%s]::uuid[], ARRAY[%s]::date[], t.%I FROM %s t'
        ' WHERE substring(t.%I from 3 for 8) = ANY ($1) AND (t.tableoid, t.ctid) > ($2, $3)'
        ' ORDER BY t.tableoid, t.ctid LIMIT $4', coalesce(uuids, ''), coalesce(dates, ''), leaf, root, leaf)
        USING kids, after_part, after_spot, row_max;
END $$;

CREATE FUNCTION keystore.reseal(named text, part oid, spot tid, old bytea, new bytea)
    RETURNS boolean
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    root regclass;
    leaf name;
    touched bigint;
BEGIN
    SELECT c.root, c.leaf INTO STRICT root, leaf FROM keystore.sealed_column(named) c;
    EXECUTE format('UPDATE %s SET %I = $1 WHERE tableoid = $2 AND ctid = $3 AND %I = $4', root, leaf, leaf)
        USING new, part, spot, old;
    GET DIAGNOSTICS touched = ROW_COUNT;
    RETURN touched = 1;
END $$;

-- Rotation of a blind index: the indexes of a table beside the sealed values they are made of, and putting a newer one
-- in its place.
CREATE FUNCTION keystore.blind_column(named text) RETURNS TABLE (root regclass, leaf name)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT c.oid::regclass, a.attname
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE n.nspname || '.' || c.relname || '.' || a.attname = named AND c.relkind = 'r'
        AND a.atttypid = 'bytea'::regtype AND a.attnum > 0 AND NOT a.attisdropped
        AND col_description(c.oid, a.attnum) ~ '\mseal=blind\M'
$$;

CREATE FUNCTION keystore.blind_rows(named text, made_of text, after_id uuid, row_max integer)
    RETURNS TABLE (row_id uuid, blind bytea, sealed bytea)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    place regclass;
    leaf name;
    source name;
BEGIN
    SELECT c.root, c.leaf INTO STRICT place, leaf FROM keystore.blind_column(named) c;
    SELECT c.leaf INTO STRICT source FROM keystore.sealed_column(made_of) c WHERE c.root = place;
    RETURN QUERY EXECUTE format('SELECT t.id, t.%I, t.%I FROM %s t WHERE t.id > $1 ORDER BY t.id LIMIT $2', leaf,
        source, place) USING after_id, row_max;
END $$;

CREATE FUNCTION keystore.reindex(named text, row_id uuid, old bytea, new bytea)
    RETURNS boolean
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    root regclass;
    leaf name;
    touched bigint;
BEGIN
    SELECT c.root, c.leaf INTO STRICT root, leaf FROM keystore.blind_column(named) c;
    EXECUTE format('UPDATE %s SET %I = $1 WHERE id = $2 AND %I = $3', root, leaf, leaf) USING new, row_id, old;
    GET DIAGNOSTICS touched = ROW_COUNT;
    RETURN touched = 1;
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA keystore FROM PUBLIC;
GRANT EXECUTE ON FUNCTION keystore.blind_rows(text, text, uuid, integer), keystore.reindex(text, uuid, bytea, bytea),
    keystore.sealed_rows(text, bytea[], oid, tid, integer),
    keystore.reseal(text, oid, tid, bytea, bytea) TO ruxa_keystore;

GRANT SELECT, INSERT, UPDATE ON keystore.epoch TO ruxa_keystore;
GRANT SELECT, INSERT, DELETE, UPDATE (epoch, wrapped, superseded_at) ON keystore.key TO ruxa_keystore;
GRANT SELECT, INSERT, UPDATE (valid_until) ON keystore.public_key TO ruxa_keystore;
GRANT SELECT, INSERT, DELETE ON keystore.change TO ruxa_keystore;
GRANT SELECT, INSERT ON keystore.destruction TO ruxa_keystore;
GRANT SELECT, INSERT, UPDATE, DELETE ON keystore.holder TO ruxa_keystore;
