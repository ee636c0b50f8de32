-- The audit log: an append-only Merkle tree (RFC 6962, C2SP tiles of height 8) over salted hashes of entries.
-- An act and its entry are one transaction; a sequencer gives committed entries their place in the tree.
-- Entries are sealed under the key of their day and go with it; the tree stays whole without them (D41, D46).
-- No login may change or remove a row here. Entries are written by the functions at the end, in the transaction of the
-- act; the tree is added to by the sequencer's login and by no other.

CREATE SCHEMA audit;
REVOKE ALL ON SCHEMA audit FROM PUBLIC;

-- Entries: what staff, operator and system did and what touches security (2 years); what customers did otherwise.

CREATE TABLE audit.entry (
    id              uuid PRIMARY KEY,
    organisation_id uuid,
    actor_index     bytea CHECK (octet_length(actor_index) = 16),
    fields_sealed   bytea NOT NULL,
    details_sealed  bytea NOT NULL,
    commitment      bytea NOT NULL CHECK (octet_length(commitment) = 32)
) PARTITION BY RANGE (id);
CREATE INDEX entry_organisation ON audit.entry (organisation_id, id) WHERE organisation_id IS NOT NULL;
CREATE INDEX entry_actor ON audit.entry (actor_index, id) WHERE actor_index IS NOT NULL;
COMMENT ON TABLE audit.entry IS 'Acts of staff, operator and system, and those that touch security: 2 years, sealed by day.';

CREATE TABLE audit.customer_entry (
    id              uuid PRIMARY KEY,
    organisation_id uuid,
    actor_index     bytea CHECK (octet_length(actor_index) = 16),
    fields_sealed   bytea NOT NULL,
    details_sealed  bytea NOT NULL,
    commitment      bytea NOT NULL CHECK (octet_length(commitment) = 32)
) PARTITION BY RANGE (id);
CREATE INDEX customer_entry_organisation ON audit.customer_entry (organisation_id, id) WHERE organisation_id IS NOT NULL;
CREATE INDEX customer_entry_actor ON audit.customer_entry (actor_index, id) WHERE actor_index IS NOT NULL;
COMMENT ON TABLE audit.customer_entry IS 'What customers did in their own organisation: as long as their usage, sealed by day.';

-- Committed, not yet in the tree.

CREATE TABLE audit.pending (
    entry_id   uuid PRIMARY KEY,
    commitment bytea NOT NULL CHECK (octet_length(commitment) = 32)
);
COMMENT ON TABLE audit.pending IS 'Entries that wait for their place in the tree, some seconds; only the sequencer takes them out.';

-- The tree. A leaf says when it got its place (never earlier than the one before), which entry, and its salted hash.

CREATE TABLE audit.leaf (
    seq        bigint PRIMARY KEY,
    at_ms      bigint NOT NULL,
    entry_id   uuid NOT NULL UNIQUE,
    commitment bytea NOT NULL CHECK (octet_length(commitment) = 32),
    hash       bytea NOT NULL CHECK (octet_length(hash) = 32)
);
COMMENT ON TABLE audit.leaf IS 'Level 0 of the tree: one row a leaf, for ever; says that something happened, not what.';

CREATE TABLE audit.node (
    level  integer NOT NULL CHECK (level BETWEEN 1 AND 7),
    number bigint NOT NULL CHECK (number >= 0),
    hash   bytea NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (level, number)
);
COMMENT ON TABLE audit.node IS 'Roots of full tiles: (level, number) is the root of tile number of the level below.';

CREATE TABLE audit.checkpoint (
    size     bigint PRIMARY KEY CHECK (size > 0),
    root     bytea NOT NULL CHECK (octet_length(root) = 32),
    key_id   bytea NOT NULL CHECK (octet_length(key_id) = 8),
    note     text NOT NULL,
    at       timestamptz NOT NULL
);
COMMENT ON TABLE audit.checkpoint IS 'Signed tree heads, as C2SP signed notes; each is consistent with all before it.';

CREATE TABLE audit.cosignature (
    size    bigint NOT NULL REFERENCES audit.checkpoint (size),
    witness text NOT NULL CHECK (length(witness) BETWEEN 1 AND 200),
    line    text NOT NULL,
    at      timestamptz NOT NULL DEFAULT ruxa.now(),
    PRIMARY KEY (size, witness)
);
COMMENT ON TABLE audit.cosignature IS 'What a foreign witness signed: it saw this tree head and that it continues the last one it saw.';

CREATE TABLE audit.acknowledgement (
    id              uuid PRIMARY KEY,
    size            bigint NOT NULL REFERENCES audit.checkpoint (size),
    organisation_id uuid,
    at              timestamptz NOT NULL DEFAULT ruxa.now()
);
CREATE INDEX acknowledgement_organisation ON audit.acknowledgement (organisation_id, at);
COMMENT ON TABLE audit.acknowledgement IS 'An organisation (or, without one, the staff) said that it keeps a copy of this tree head.';

-- The daily mail of the checkpoint: how far a day's is. No part of the log.

CREATE TABLE audit.mailing (
    day   date PRIMARY KEY,
    size  bigint NOT NULL REFERENCES audit.checkpoint (size),
    after uuid NOT NULL,
    over  boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE audit.mailing IS 'Which checkpoint went out on a day, and to whom up to (member ids in order).';

-- Rows are never changed; only the sequencer's queue is emptied. Not even the owner does it by mistake.

CREATE FUNCTION audit.stays() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is only added to' USING ERRCODE = 'RX351';
END $$;
CREATE TRIGGER stays BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.entry FOR EACH STATEMENT EXECUTE FUNCTION audit.stays();
CREATE TRIGGER stays BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.customer_entry
    FOR EACH STATEMENT EXECUTE FUNCTION audit.stays();
CREATE TRIGGER stays BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.leaf FOR EACH STATEMENT EXECUTE FUNCTION audit.stays();
CREATE TRIGGER stays BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.node FOR EACH STATEMENT EXECUTE FUNCTION audit.stays();
CREATE TRIGGER stays BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.checkpoint
    FOR EACH STATEMENT EXECUTE FUNCTION audit.stays();
CREATE TRIGGER stays BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.cosignature
    FOR EACH STATEMENT EXECUTE FUNCTION audit.stays();
CREATE TRIGGER stays BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.acknowledgement
    FOR EACH STATEMENT EXECUTE FUNCTION audit.stays();
CREATE TRIGGER stays BEFORE UPDATE OR TRUNCATE ON audit.pending FOR EACH STATEMENT EXECUTE FUNCTION audit.stays();

-- One entry, in the transaction of its act. The day's partition is made when it is not there: no act waits for a job.

CREATE FUNCTION audit.write(
    p_id uuid, p_lasting boolean, p_organisation_id uuid, p_actor_index bytea, p_fields bytea, p_details bytea,
    p_commitment bytea
) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    day date := (ruxa.id_time(p_id) AT TIME ZONE 'UTC')::date;
    root text := CASE WHEN p_lasting THEN 'audit.entry' ELSE 'audit.customer_entry' END;
BEGIN
    IF day NOT BETWEEN ruxa.today() - 1 AND ruxa.today() + 1 THEN
        RAISE EXCEPTION 'an entry is written on its day' USING ERRCODE = 'RX352';
    END IF;
    IF to_regclass(root || '_' || to_char(day, 'YYYYMMDD')) IS NULL THEN
        PERFORM ruxa.partition_create(root::regclass, day);
    END IF;
    IF p_lasting THEN
        INSERT INTO audit.entry VALUES (p_id, p_organisation_id, p_actor_index, p_fields, p_details, p_commitment);
    ELSE
        INSERT INTO audit.customer_entry
            VALUES (p_id, p_organisation_id, p_actor_index, p_fields, p_details, p_commitment);
    END IF;
    INSERT INTO audit.pending VALUES (p_id, p_commitment);
END $$;

-- The sequencer writes with a login of its own, which adds to the tree and does nothing else: it reads no entry, and
-- changes or removes no row. One at a time (whoever holds the lock); a gap, a step back in time or an entry that does
-- not wait is refused, and with its place an entry leaves the queue. (The owner puts back what a restore brings.)

CREATE FUNCTION audit.placed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    last audit.leaf;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('ruxa.audit', 0));
    SELECT * INTO last FROM audit.leaf ORDER BY seq DESC LIMIT 1;
    IF NEW.seq IS DISTINCT FROM coalesce(last.seq + 1, 0) OR NEW.at_ms < coalesce(last.at_ms, 0) THEN
        RAISE EXCEPTION 'this leaf does not come next' USING ERRCODE = 'RX353';
    END IF;
    DELETE FROM audit.pending WHERE entry_id = NEW.entry_id AND commitment = NEW.commitment;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'this entry does not wait for its place' USING ERRCODE = 'RX353';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER placed BEFORE INSERT ON audit.leaf FOR EACH ROW WHEN (current_user = 'ruxa_audit')
    EXECUTE FUNCTION audit.placed();

-- A signed tree head: of all leaves there are, larger and not earlier than the last.

CREATE FUNCTION audit.signed() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    last audit.checkpoint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('ruxa.audit', 0));
    SELECT * INTO last FROM audit.checkpoint ORDER BY size DESC LIMIT 1;
    IF NEW.size IS NULL OR NEW.size <= coalesce(last.size, 0) OR NEW.at < last.at
        OR NEW.size IS DISTINCT FROM (SELECT max(seq) + 1 FROM audit.leaf)
    THEN
        RAISE EXCEPTION 'this checkpoint does not come next' USING ERRCODE = 'RX354';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER signed BEFORE INSERT ON audit.checkpoint FOR EACH ROW WHEN (current_user = 'ruxa_audit')
    EXECUTE FUNCTION audit.signed();

CREATE FUNCTION audit.acknowledge(p_id uuid, p_size bigint, p_organisation_id uuid) RETURNS void
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO audit.acknowledgement (id, size, organisation_id) VALUES (p_id, p_size, p_organisation_id)
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA audit FROM PUBLIC;

ALTER TABLE audit.entry ALTER COLUMN fields_sealed SET STATISTICS 0;
ALTER TABLE audit.entry ALTER COLUMN details_sealed SET STATISTICS 0;
ALTER TABLE audit.customer_entry ALTER COLUMN fields_sealed SET STATISTICS 0;
ALTER TABLE audit.customer_entry ALTER COLUMN details_sealed SET STATISTICS 0;

COMMENT ON COLUMN audit.entry.id IS 'data: none';
COMMENT ON COLUMN audit.entry.organisation_id IS 'data: none';
COMMENT ON COLUMN audit.entry.actor_index IS
    'data: category=user.unique_id.pseudonymous subject=member purpose=security,proof
     basis=legitimate_interest,legal_obligation keep=audit seal=blind erase=keep:security export=no:derived';
COMMENT ON COLUMN audit.entry.fields_sealed IS
    'data: category=user.behavior,user.unique_id.pseudonymous subject=member purpose=security,proof
     basis=legitimate_interest,legal_obligation keep=audit seal=day erase=keep:security export=yes';
COMMENT ON COLUMN audit.entry.details_sealed IS
    'data: category=user.behavior subject=member purpose=security,proof
     basis=legitimate_interest,legal_obligation keep=audit seal=day erase=keep:security export=yes';
COMMENT ON COLUMN audit.entry.commitment IS 'data: none';
COMMENT ON COLUMN audit.customer_entry.id IS 'data: none';
COMMENT ON COLUMN audit.customer_entry.organisation_id IS 'data: none';
COMMENT ON COLUMN audit.customer_entry.actor_index IS
    'data: category=user.unique_id.pseudonymous subject=member purpose=security,proof
     basis=legitimate_interest,legal_obligation keep=usage seal=blind erase=keep:security export=no:derived';
COMMENT ON COLUMN audit.customer_entry.fields_sealed IS
    'data: category=user.behavior,user.unique_id.pseudonymous subject=member purpose=security,proof
     basis=legitimate_interest,legal_obligation keep=usage seal=day erase=keep:security export=yes';
COMMENT ON COLUMN audit.customer_entry.details_sealed IS
    'data: category=user.behavior subject=member purpose=security,proof
     basis=legitimate_interest,legal_obligation keep=usage seal=day erase=keep:security export=yes';
COMMENT ON COLUMN audit.customer_entry.commitment IS 'data: none';
COMMENT ON COLUMN audit.pending.entry_id IS 'data: none';
COMMENT ON COLUMN audit.pending.commitment IS 'data: none';
COMMENT ON COLUMN audit.leaf.seq IS 'data: none';
COMMENT ON COLUMN audit.leaf.at_ms IS 'data: none';
COMMENT ON COLUMN audit.leaf.entry_id IS 'data: none';
COMMENT ON COLUMN audit.leaf.commitment IS 'data: none';
COMMENT ON COLUMN audit.leaf.hash IS 'data: none';
COMMENT ON COLUMN audit.node.level IS 'data: none';
COMMENT ON COLUMN audit.node.number IS 'data: none';
COMMENT ON COLUMN audit.node.hash IS 'data: none';
COMMENT ON COLUMN audit.checkpoint.size IS 'data: none';
COMMENT ON COLUMN audit.checkpoint.root IS 'data: none';
COMMENT ON COLUMN audit.checkpoint.key_id IS 'data: none';
COMMENT ON COLUMN audit.checkpoint.note IS 'data: none';
COMMENT ON COLUMN audit.checkpoint.at IS 'data: none';
COMMENT ON COLUMN audit.cosignature.size IS 'data: none';
COMMENT ON COLUMN audit.cosignature.witness IS 'data: none';
COMMENT ON COLUMN audit.cosignature.line IS 'data: none';
COMMENT ON COLUMN audit.cosignature.at IS 'data: none';
COMMENT ON COLUMN audit.acknowledgement.id IS 'data: none';
COMMENT ON COLUMN audit.acknowledgement.size IS 'data: none';
COMMENT ON COLUMN audit.acknowledgement.organisation_id IS 'data: none';
COMMENT ON COLUMN audit.acknowledgement.at IS 'data: none';

COMMENT ON COLUMN audit.mailing.day IS 'data: none';
COMMENT ON COLUMN audit.mailing.size IS 'data: none';
COMMENT ON COLUMN audit.mailing.after IS 'data: none';
COMMENT ON COLUMN audit.mailing.over IS 'data: none';

GRANT USAGE ON SCHEMA audit TO ruxa_console, ruxa_worker, ruxa_operator;
GRANT EXECUTE ON FUNCTION audit.write(uuid, boolean, uuid, bytea, bytea, bytea, bytea)
    TO ruxa_console, ruxa_worker, ruxa_operator;
GRANT EXECUTE ON FUNCTION audit.acknowledge(uuid, bigint, uuid) TO ruxa_console, ruxa_operator;
GRANT SELECT ON ALL TABLES IN SCHEMA audit TO ruxa_console, ruxa_worker, ruxa_operator;
GRANT INSERT, UPDATE (after, over) ON audit.mailing TO ruxa_worker;

GRANT USAGE ON SCHEMA ruxa, audit TO ruxa_audit;
GRANT SELECT ON ruxa.instance TO ruxa_audit; -- the log's name
GRANT SELECT ON audit.pending TO ruxa_audit;
GRANT SELECT, INSERT ON audit.leaf, audit.node, audit.checkpoint, audit.cosignature TO ruxa_audit;

SELECT ruxa.partition_create(root, ruxa.today() + ahead)
    FROM unnest(ARRAY['audit.entry'::regclass, 'audit.customer_entry'::regclass]) root, generate_series(-1, 7) ahead;
