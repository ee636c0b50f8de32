-- The schema every other one stands on: the one clock in SQL (D35), who this instance is, which steps were applied.

CREATE SCHEMA ruxa;
REVOKE ALL ON SCHEMA ruxa FROM PUBLIC;
GRANT USAGE ON SCHEMA ruxa TO ruxa_gateway, ruxa_console, ruxa_worker, ruxa_keystore, ruxa_operator;

-- A new function is for nobody until a GRANT says for whom: the default would let every login call every function.
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

-- Trusted since PostgreSQL 13; the price book excludes overlapping rows with it.
CREATE EXTENSION btree_gist SCHEMA ruxa;

CREATE TABLE ruxa.migration (
    step        text PRIMARY KEY,
    sha256      text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    how         text NOT NULL CHECK (how IN ('base', 'step', 'contained')),
    release     text NOT NULL,
    applied_at  timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE ruxa.migration IS
    'Files of store/schema (base) and store/steps (step; contained: part of the base this database began with).';
COMMENT ON COLUMN ruxa.migration.step IS 'data: none';
COMMENT ON COLUMN ruxa.migration.sha256 IS 'data: none';
COMMENT ON COLUMN ruxa.migration.how IS 'data: none';
COMMENT ON COLUMN ruxa.migration.release IS 'data: none';
COMMENT ON COLUMN ruxa.migration.applied_at IS 'data: none';

CREATE TABLE ruxa.instance (
    one         boolean PRIMARY KEY DEFAULT true CHECK (one),
    id          uuid NOT NULL,
    mode        text NOT NULL CHECK (mode IN ('demo', 'live')),
    simulated   boolean NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE ruxa.instance IS 'One row: the instance this database belongs to (D9, D35).';
COMMENT ON COLUMN ruxa.instance.one IS 'data: none';
COMMENT ON COLUMN ruxa.instance.id IS 'data: none';
COMMENT ON COLUMN ruxa.instance.mode IS 'data: none';
COMMENT ON COLUMN ruxa.instance.simulated IS 'data: none';
COMMENT ON COLUMN ruxa.instance.created_at IS 'data: none';

CREATE TABLE ruxa.clock_offset (
    one         boolean PRIMARY KEY DEFAULT true CHECK (one),
    offset_s    bigint NOT NULL,
    moved_at    timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE ruxa.clock_offset IS
    'Empty in live mode. On a simulated instance one row, owned by the migration role: how far the clock was moved.';
COMMENT ON COLUMN ruxa.clock_offset.one IS 'data: none';
COMMENT ON COLUMN ruxa.clock_offset.offset_s IS 'data: none';
COMMENT ON COLUMN ruxa.clock_offset.moved_at IS 'data: none';

-- The only clock of SQL text outside the jobs schema. A simulated instance gets another body (store/instance.py).
CREATE FUNCTION ruxa.now() RETURNS timestamptz
    LANGUAGE sql VOLATILE PARALLEL SAFE
    RETURN pg_catalog.clock_timestamp();

CREATE FUNCTION ruxa.today() RETURNS date
    LANGUAGE sql VOLATILE PARALLEL SAFE
    RETURN (ruxa.now() AT TIME ZONE 'UTC')::date;

-- The lowest UUIDv7 of a moment: the bound of a range partition, the start of a search by time.
CREATE FUNCTION ruxa.id_floor(moment timestamptz) RETURNS uuid
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (lpad(to_hex(floor(extract(epoch FROM moment) * 1000)::bigint), 12, '0') || '00000000000000000000')::uuid;

-- The moment a UUIDv7 was made, to the millisecond.
CREATE FUNCTION ruxa.id_time(id uuid) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN to_timestamp(('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint / 1000.0);

-- Day partitions (D30): of tables that are partitioned by a range of UUIDv7 ids or of dates, named <table>_YYYYMMDD.
CREATE FUNCTION ruxa.partition_create(root regclass, day date) RETURNS boolean
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    named text;
    place text;
    part text;
    leaf name;
    kind regtype;
    first text := ruxa.id_floor(day::timestamp AT TIME ZONE 'UTC');
    after text := ruxa.id_floor((day + 1)::timestamp AT TIME ZONE 'UTC');
BEGIN
    SELECT n.nspname, c.relname, a.atttypid INTO STRICT place, named, kind
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_partitioned_table p ON p.partrelid = c.oid
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = p.partattrs[0]
        WHERE c.oid = root AND p.partstrat = 'r' AND c.relowner = (SELECT oid FROM pg_roles WHERE rolname = current_user);
    part := named || '_' || to_char(day, 'YYYYMMDD');
    IF to_regclass(format('%I.%I', place, part)) IS NOT NULL THEN
        RETURN false;
    END IF;
    -- Two processes may create the same day at once: the second waits for the table, then looks again.
    EXECUTE format('LOCK TABLE ONLY %I.%I IN SHARE UPDATE EXCLUSIVE MODE', place, named);
    IF to_regclass(format('%I.%I', place, part)) IS NOT NULL THEN
        RETURN false;
    END IF;
    IF kind = 'date'::regtype THEN
        first := day;
        after := day + 1;
    END IF;
    EXECUTE format('CREATE TABLE %I.%I PARTITION OF %I.%I FOR VALUES FROM (%L) TO (%L)', place, part, place, named,
        first, after);
    -- A partition does not inherit that a column has no statistics.
    FOR leaf IN SELECT attname FROM pg_attribute WHERE attrelid = root AND attnum > 0 AND attstattarget = 0 LOOP
        EXECUTE format('ALTER TABLE %I.%I ALTER COLUMN %I SET STATISTICS 0', place, part, leaf);
    END LOOP;
    RETURN true;
END $$;

-- For functions of the rooms; no login may call it.
CREATE FUNCTION ruxa.partition_remove(root regclass, day date) RETURNS boolean
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    part regclass;
BEGIN
    SELECT i.inhrelid::regclass INTO part
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class r ON r.oid = i.inhparent
        WHERE i.inhparent = root AND c.relispartition
            AND c.relname = r.relname || '_' || to_char(day, 'YYYYMMDD');
    IF part IS NULL THEN
        RETURN false;
    END IF;
    EXECUTE 'DROP TABLE ' || part;
    RETURN true;
END $$;

-- A day of the ledger leaves its billing evidence behind: only ledger.day_reduce drops it (SQLSTATE RX010).
CREATE FUNCTION ruxa.partition_drop(root regclass, day date) RETURNS boolean
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF root IN (to_regclass('ledger.usage_event'), to_regclass('ledger.usage_day')) THEN
        RAISE EXCEPTION 'this table is reduced, not dropped' USING ERRCODE = 'RX010';
    END IF;
    -- What was done stays for its whole time, whoever asks.
    IF root = to_regclass('audit.entry') AND day > ruxa.today() - 730
        OR root = to_regclass('audit.customer_entry') AND day > ruxa.today() - 83 THEN
        RAISE EXCEPTION 'this day of the audit log is still kept' USING ERRCODE = 'RX355';
    END IF;
    RETURN ruxa.partition_remove(root, day);
END $$;

GRANT EXECUTE ON FUNCTION ruxa.now(), ruxa.today(), ruxa.id_floor(timestamptz), ruxa.id_time(uuid)
    TO ruxa_gateway, ruxa_console, ruxa_worker, ruxa_keystore, ruxa_operator, ruxa_support, ruxa_tax,
        ruxa_audit, ruxa_erase, ruxa_export;
GRANT EXECUTE ON FUNCTION ruxa.partition_create(regclass, date), ruxa.partition_drop(regclass, date)
    TO ruxa_worker, ruxa_operator;
GRANT SELECT ON ruxa.migration, ruxa.instance, ruxa.clock_offset
    TO ruxa_gateway, ruxa_console, ruxa_worker, ruxa_keystore, ruxa_operator;
-- A simulated clock is read by whoever asks for the time (D35).
GRANT SELECT ON ruxa.clock_offset TO ruxa_support, ruxa_tax, ruxa_audit, ruxa_erase, ruxa_export;
