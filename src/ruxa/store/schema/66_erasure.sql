-- Erasure: whose rows are whose and what becomes of them, read from the columns' own declarations and foreign keys, so
-- that a column is covered on the day it is born; the journal of erasures; and the two functions that act.
--
-- Erasures are done by the login ruxa_erase, which reads ids, runs the journal and holds EXECUTE on the functions below:
-- they act on the subject of a recorded erasure in the right state, and on nobody else, which a right to delete could
-- not say. No other login that serves ends anybody. Copies are read by ruxa_export (69_rights.sql).
--
-- SQLSTATEs of this file: RX661 no such erasure, or not in the state for this; RX662 no such export.

-- The journal. While an erasure runs, `subject` says who; when it is done only keyed hashes are left, by which a
-- restored database finds whom to erase again.

CREATE TABLE privacy.erasure (
    id             uuid PRIMARY KEY,
    kind           text NOT NULL CHECK (kind IN ('member', 'organisation')),
    state          text NOT NULL DEFAULT 'waiting'
        CHECK (state IN ('waiting', 'planned', 'shredding', 'shredded', 'cleared', 'done', 'cancelled')),
    subject        uuid,
    subject_hash   bytea NOT NULL CHECK (octet_length(subject_hash) = 32),
    asked_by       text NOT NULL CHECK (asked_by IN ('subject', 'operator', 'system', 'replay')),
    goes_with      uuid REFERENCES privacy.erasure (id),
    forfeit        boolean NOT NULL DEFAULT false,
    address_mark   bytea CHECK (octet_length(address_mark) = 32),
    key_ids        bytea[] NOT NULL DEFAULT '{}',
    rows_gone      text[] NOT NULL DEFAULT '{}',
    kept           text[] NOT NULL DEFAULT '{}',
    asked_at       timestamptz NOT NULL DEFAULT ruxa.now(),
    due_at         timestamptz NOT NULL,
    done_at        timestamptz,
    certificate    bytea,
    signature      bytea CHECK (octet_length(signature) = 64),
    signed_by      bytea CHECK (octet_length(signed_by) = 8),
    CONSTRAINT erasure_done CHECK ((state = 'done') = (certificate IS NOT NULL)
        AND (certificate IS NULL) = (signature IS NULL) AND (signature IS NULL) = (signed_by IS NULL)),
    CONSTRAINT erasure_over CHECK ((state IN ('done', 'cancelled')) = (subject IS NULL)
        AND (state = 'done') = (done_at IS NOT NULL))
);
CREATE UNIQUE INDEX erasure_one_living ON privacy.erasure (subject) WHERE subject IS NOT NULL;
CREATE INDEX erasure_due ON privacy.erasure (due_at) WHERE subject IS NOT NULL;
CREATE INDEX erasure_subject ON privacy.erasure (subject_hash);
CREATE INDEX erasure_address ON privacy.erasure (address_mark) WHERE address_mark IS NOT NULL;
ALTER TABLE privacy.erasure ALTER COLUMN subject_hash SET STATISTICS 0;
ALTER TABLE privacy.erasure ALTER COLUMN address_mark SET STATISTICS 0;
COMMENT ON TABLE privacy.erasure IS
    'Every erasure, asked for, running or done, with its certificate. Nothing of who it was is left when it is done.';
COMMENT ON COLUMN privacy.erasure.id IS 'data: none';
COMMENT ON COLUMN privacy.erasure.kind IS 'data: none';
COMMENT ON COLUMN privacy.erasure.state IS 'data: none';
COMMENT ON COLUMN privacy.erasure.subject IS
    'data: category=user.unique_id subject=member purpose=legal basis=legal_obligation keep=operations seal=none
     erase=null export=no:operational';
COMMENT ON COLUMN privacy.erasure.subject_hash IS
    'data: category=user.unique_id.pseudonymous subject=member purpose=proof basis=legal_obligation keep=instance
     seal=hash erase=keep:proof export=no:derived';
COMMENT ON COLUMN privacy.erasure.asked_by IS 'data: none';
COMMENT ON COLUMN privacy.erasure.goes_with IS 'data: none';
COMMENT ON COLUMN privacy.erasure.forfeit IS 'data: none';
COMMENT ON COLUMN privacy.erasure.address_mark IS
    'data: category=user.contact.email subject=member purpose=proof basis=legal_obligation keep=operations seal=hash
     erase=keep:proof export=no:derived

     A slow keyed hash under a label of its own, gone 30 days after the erasure: who asks again gets the same answer.';
COMMENT ON COLUMN privacy.erasure.key_ids IS 'data: none';
COMMENT ON COLUMN privacy.erasure.rows_gone IS 'data: none';
COMMENT ON COLUMN privacy.erasure.kept IS 'data: none';
COMMENT ON COLUMN privacy.erasure.asked_at IS 'data: none';
COMMENT ON COLUMN privacy.erasure.due_at IS 'data: none';
COMMENT ON COLUMN privacy.erasure.done_at IS 'data: none';
COMMENT ON COLUMN privacy.erasure.certificate IS 'data: none';
COMMENT ON COLUMN privacy.erasure.signature IS 'data: none';
COMMENT ON COLUMN privacy.erasure.signed_by IS 'data: none';

-- What the columns declare, for SQL (grammar: kernel/datamap.py, which every migration's gate enforces).

CREATE VIEW privacy.declared AS
    SELECT n.nspname::text AS place, c.relname::text AS tab, c.oid AS rel, a.attname::text AS col, a.attnum AS num,
        a.attnotnull AS required, a.atttypid::regtype::text AS type,
        substring(d.words FROM '\ysubject=(\S+)') AS subject, substring(d.words FROM '\ykeep=(\S+)') AS keep,
        substring(d.words FROM '\yseal=(\S+)') AS seal,
        split_part(substring(d.words FROM '\yerase=(\S+)'), ':', 1) AS erase,
        nullif(split_part(substring(d.words FROM '\yerase=(\S+)'), ':', 2), '') AS ground,
        substring(d.words FROM '\yexport=(\S+)') AS export,
        split_part(substring(d.words FROM '\ycategory=(\S+)'), ',', 1) AS category,
        split_part(substring(d.words FROM '\ypurpose=(\S+)'), ',', 1) AS purpose
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    CROSS JOIN LATERAL (SELECT split_part(col_description(c.oid, a.attnum), E'\n\n', 1) AS words) AS d
    WHERE c.relkind IN ('r', 'p', 'm', 'f') AND NOT c.relispartition AND c.relpersistence <> 't'
        AND (SELECT r.oid FROM pg_roles r WHERE r.rolname = 'ruxa_owner') IN (c.relowner, n.nspowner);

-- Whose: which words of `subject` are about a member, which about an organisation.
CREATE FUNCTION privacy.is_about(subject text, kind text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE kind WHEN 'member' THEN subject IN ('member', 'staff', 'visitor')
        ELSE subject IN ('organisation', 'payer', 'caller') END;

-- What an erasure of a subject of this kind does with the rows of `rel` that are tied to it by `col`:
--   delete  the row goes
--   null    only the tie is cut
--   blank   the row stays for what must be kept of it; `columns` are emptied
--   keep    the row stays as it is, with a ground
--   leave   nothing in it is about this subject
-- Where the columns say nothing about the subject, what the foreign key does on deletion decides.
CREATE FUNCTION privacy.fate(p_rel oid, p_col text, p_kind text, p_on_delete text, OUT action text, OUT columns text[])
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    tie_is_cut boolean;
    stays boolean;
BEGIN
    SELECT d.erase = 'null' INTO tie_is_cut FROM privacy.declared d WHERE d.rel = p_rel AND d.col = p_col;
    -- What a billing key seals dies with that key, at the end of its years.
    SELECT bool_or(d.erase = 'keep' OR d.keep = 'transactions'),
        array_agg(d.col ORDER BY d.num) FILTER (WHERE d.erase <> 'keep' AND d.keep <> 'transactions' AND d.col <> p_col)
    INTO stays, columns
    FROM privacy.declared d
    WHERE d.rel = p_rel AND d.subject IS NOT NULL AND privacy.is_about(d.subject, p_kind);
    IF tie_is_cut OR stays IS NULL AND p_on_delete = 'n' THEN
        action := 'null';
        columns := ARRAY[p_col];
        RETURN;
    END IF;
    action := CASE
        WHEN stays IS NULL THEN CASE p_on_delete WHEN 'c' THEN 'delete' ELSE 'leave' END
        WHEN NOT stays THEN 'delete'
        WHEN columns IS NOT NULL THEN 'blank'
        ELSE 'keep' END;
    columns := CASE action WHEN 'blank' THEN columns ELSE '{}' END;
END $$;

-- Every table that is tied to a member or an organisation: by foreign keys, followed as far as rows are deleted, and by
-- columns named member_id, organisation_id or organisation_ref; and by ids in the arguments of waiting jobs.
-- `condition` is over $1, the subject's id, and of an organisation $2, its reference. Deepest first.
CREATE FUNCTION privacy.ties(p_kind text)
    RETURNS TABLE (place text, tab text, col text, condition text, depth integer, action text, columns text[])
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH RECURSIVE first (rel, col, condition, depth) AS (
        SELECT CASE p_kind WHEN 'member' THEN 'access.member' ELSE 'access.organisation' END::regclass::oid,
            'id'::text COLLATE "C", 'id = $1'::text COLLATE "C", 0
        UNION ALL
        SELECT d.rel, d.col,
            CASE d.col WHEN 'organisation_ref' THEN 'organisation_ref = $2' ELSE format('%I = $1', d.col) END, 1
        FROM privacy.declared d
        WHERE d.type = 'uuid' AND (d.place, d.tab, d.col) <> ('access', 'organisation', 'organisation_ref')
            AND d.col = ANY (CASE p_kind WHEN 'member' THEN ARRAY['member_id']
                ELSE ARRAY['organisation_id', 'organisation_ref'] END)
        UNION ALL
        SELECT d.rel, d.col,
            format('EXISTS (SELECT FROM jsonb_each_text(%I) AS arg WHERE arg.value = $1::text)', d.col), 1
        FROM privacy.declared d WHERE (d.place, d.tab, d.col) = ('jobs', 'procrastinate_jobs', 'args')
    ), tie (rel, col, condition, on_delete, depth, action, columns) AS (
        SELECT s.rel, s.col, s.condition, NULL::text, s.depth, f.action, f.columns
        FROM first s CROSS JOIN LATERAL privacy.fate(s.rel, s.col, p_kind, NULL) AS f
        UNION ALL
        SELECT k.conrelid, a.attname::text,
            CASE WHEN t.depth = 0 AND p.attname = 'id' THEN format('%I = $1', a.attname)
                ELSE format('%I IN (SELECT %I FROM %s WHERE %s)', a.attname, p.attname, t.rel::regclass, t.condition)
                END,
            k.confdeltype::text, t.depth + 1, f.action, f.columns
        FROM tie t
        JOIN pg_constraint k ON k.contype = 'f' AND k.confrelid = t.rel AND cardinality(k.conkey) = 1
        JOIN pg_class c ON c.oid = k.conrelid AND NOT c.relispartition
        JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
        JOIN pg_attribute p ON p.attrelid = k.confrelid AND p.attnum = k.confkey[1]
        CROSS JOIN LATERAL privacy.fate(k.conrelid, a.attname::text, p_kind, k.confdeltype::text) AS f
        WHERE (t.action = 'delete' OR t.depth = 0) AND t.depth < 6
    ), every AS (
        SELECT DISTINCT ON (t.rel, t.col) t.* FROM tie t ORDER BY t.rel, t.col, t.on_delete NULLS LAST, t.depth
    )
    SELECT n.nspname::text, c.relname::text, e.col, e.condition, e.depth, e.action, e.columns
    FROM every e JOIN pg_class c ON c.oid = e.rel JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname <> 'keystore' AND NOT (n.nspname = 'privacy' AND c.relname = 'erasure')
    ORDER BY e.depth DESC, 1, 2, 3
$$;
COMMENT ON FUNCTION privacy.ties(text) IS
    'Every table tied to a member or an organisation, and what an erasure does there. Keys are the vault''s to destroy.';

-- Called by the functions below only: deletes, cuts and empties by the map; lines `schema.table.column action rows`.
CREATE FUNCTION privacy.clear_rows(p_kind text, p_subject uuid, p_ref uuid) RETURNS text[]
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    tie record;
    gone bigint;
    lines text[] := '{}';
BEGIN
    FOR tie IN SELECT * FROM privacy.ties(p_kind) WHERE action IN ('delete', 'null', 'blank') LOOP
        -- Its sums stay as billing evidence, in the transaction in which its rows go.
        IF (tie.place, tie.tab) = ('ledger', 'usage_event') THEN
            gone := ledger.usage_erase(p_ref);
            IF gone > 0 THEN
                lines := lines || format('ledger.usage_event.organisation_ref delete %s', gone);
            END IF;
            CONTINUE;
        END IF;
        CONTINUE WHEN (tie.place, tie.tab) = ('ledger', 'usage_day');
        IF tie.action = 'delete' THEN
            EXECUTE format('DELETE FROM %I.%I WHERE %s', tie.place, tie.tab, tie.condition) USING p_subject, p_ref;
        ELSE
            EXECUTE format('UPDATE %I.%I SET %s WHERE %s', tie.place, tie.tab,
                (SELECT string_agg(format(CASE WHEN d.required THEN $f$%I = ''$f$ ELSE '%I = NULL' END, d.col), ', ')
                 FROM privacy.declared d WHERE d.place = tie.place AND d.tab = tie.tab AND d.col = ANY (tie.columns)),
                tie.condition) USING p_subject, p_ref;
        END IF;
        GET DIAGNOSTICS gone = ROW_COUNT;
        IF gone > 0 THEN
            lines := lines || format('%s.%s.%s %s %s', tie.place, tie.tab, tie.col, tie.action, gone);
        END IF;
    END LOOP;
    RETURN lines;
END $$;

-- Called by the functions below only: what stays, as lines `schema.table categories ground keep rows`.
CREATE FUNCTION privacy.kept_rows(p_kind text, p_subject uuid, p_ref uuid) RETURNS text[]
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    tie record;
    word record;
    there bigint;
    lines text[] := '{}';
BEGIN
    FOR tie IN SELECT DISTINCT ON (t.place, t.tab) t.* FROM privacy.ties(p_kind) t
        WHERE t.action IN ('keep', 'blank') ORDER BY t.place, t.tab, t.depth
    LOOP
        EXECUTE format('SELECT count(*) FROM %I.%I WHERE %s', tie.place, tie.tab, tie.condition)
            INTO there USING p_subject, p_ref;
        CONTINUE WHEN there = 0;
        FOR word IN
            SELECT string_agg(DISTINCT d.category, ',' ORDER BY d.category) AS category,
                coalesce(d.ground, 'tax') AS ground, d.keep
            FROM privacy.declared d
            WHERE d.place = tie.place AND d.tab = tie.tab AND d.subject IS NOT NULL
                AND privacy.is_about(d.subject, p_kind) AND (d.erase = 'keep' OR d.keep = 'transactions')
            GROUP BY 2, 3
        LOOP
            lines := lines || format('%s.%s %s %s %s %s', tie.place, tie.tab, word.category, word.ground, word.keep, there);
        END LOOP;
    END LOOP;
    RETURN lines;
END $$;

-- Organisations that a member owns, with how many other members and other owners there are. An owner's open invitation
-- counts as the ownership it stands for: else its end would leave an organisation that nobody can come into and that goes
-- on. Others are those who came; of those who were only invited, an owner counts beside an owner who did not come either.
-- Beside others an invitation is no ownership: whoever never came can't be asked to find another owner first.
CREATE FUNCTION privacy.owned_by(p_member uuid)
    RETURNS TABLE (organisation_id uuid, organisation_ref uuid, others bigint, owners bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT o.id, o.organisation_ref, count(t.member_id),
        count(t.member_id) FILTER (WHERE t.role = 'owner' AND p.suspended_at IS NULL)
    FROM access.membership m
    JOIN access.organisation o ON o.id = m.organisation_id
    LEFT JOIN access.membership t
        ON t.organisation_id = o.id AND t.member_id <> m.member_id
            AND (t.accepted_at IS NOT NULL OR (m.accepted_at IS NULL AND t.role = 'owner'))
    LEFT JOIN access.member p ON p.id = t.member_id
    WHERE m.member_id = p_member AND m.role = 'owner' AND o.erased_at IS NULL
    GROUP BY o.id, m.accepted_at HAVING m.accepted_at IS NOT NULL OR count(t.member_id) = 0
    ORDER BY o.id
$$;

-- Who was invited to an organisation, never came, and is here for no other reason: with it goes that reason.
CREATE FUNCTION privacy.invited_only(p_organisation uuid) RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT m.id FROM access.membership s JOIN access.member m ON m.id = s.member_id
    WHERE s.organisation_id = p_organisation AND s.accepted_at IS NULL AND m.password_hash IS NULL
        AND m.verified_at IS NULL AND m.staff_role IS NULL
        AND NOT EXISTS (SELECT FROM access.membership o WHERE o.member_id = m.id AND o.organisation_id <> p_organisation)
        AND NOT EXISTS (SELECT FROM privacy.erasure e WHERE e.subject = m.id)
    ORDER BY m.id
$$;

-- Credit of an organisation that was paid for and is not used up. Presents and the sandbox's money are not counted.
CREATE FUNCTION privacy.paid_left(p_ref uuid) RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(sum(l.left_micros), 0)::bigint FROM ledger.lot_line l
    WHERE l.organisation_ref = p_ref AND l.scope = 'live' AND l.category IN ('paid', 'refund') AND l.voided_at IS NULL
$$;

-- Stops whoever is to be erased: nobody signs in, no key works, no mail goes out. Repeatable.
CREATE FUNCTION privacy.erasure_freeze(p_id uuid) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    one privacy.erasure;
    place text;
    gone bigint;
    lines text[] := '{}';
BEGIN
    SELECT * INTO one FROM privacy.erasure WHERE id = p_id AND state IN ('planned', 'shredding', 'shredded') FOR UPDATE;
    IF one.id IS NULL THEN
        RAISE EXCEPTION 'no such erasure' USING ERRCODE = 'RX661';
    END IF;
    IF one.kind = 'member' THEN
        UPDATE access.member SET suspended_at = coalesce(suspended_at, ruxa.now()) WHERE id = one.subject;
        FOREACH place IN ARRAY ARRAY['access.session', 'access.one_time_link', 'access.mail'] LOOP
            EXECUTE 'DELETE FROM ' || place || ' WHERE member_id = $1' USING one.subject;
            GET DIAGNOSTICS gone = ROW_COUNT;
            IF gone > 0 THEN
                lines := lines || format('%s.member_id delete %s', place, gone);
            END IF;
        END LOOP;
        UPDATE privacy.erasure SET rows_gone = rows_gone || lines WHERE id = p_id;
    ELSE
        UPDATE access.organisation SET closed_at = coalesce(closed_at, ruxa.now()),
            suspended_at = coalesce(suspended_at, ruxa.now()), suspended_why = coalesce(suspended_why, 'request')
            WHERE id = one.subject;
        UPDATE access.key SET revoked_at = ruxa.now() WHERE organisation_id = one.subject AND revoked_at IS NULL;
    END IF;
END $$;

-- Clears the rows of an erasure whose keys are destroyed, and notes what went and what stays. One transaction.
CREATE FUNCTION privacy.erasure_clear(p_id uuid, p_gone text[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    one privacy.erasure;
    ref uuid;
    gone text[];
BEGIN
    SELECT * INTO one FROM privacy.erasure WHERE id = p_id AND state = 'shredded' FOR UPDATE;
    IF one.id IS NULL THEN
        RAISE EXCEPTION 'no such erasure' USING ERRCODE = 'RX661';
    END IF;
    IF one.kind = 'organisation' THEN
        SELECT organisation_ref INTO ref FROM access.organisation WHERE id = one.subject;
    END IF;
    gone := p_gone || privacy.clear_rows(one.kind, one.subject, ref);
    IF one.kind = 'organisation' THEN
        UPDATE access.organisation SET erased_at = coalesce(erased_at, ruxa.now()) WHERE id = one.subject;
    END IF;
    UPDATE privacy.erasure SET state = 'cleared', rows_gone = rows_gone || gone,
        kept = privacy.kept_rows(one.kind, one.subject, ref) WHERE id = p_id;
END $$;

-- Rows that came late (a journal that was read after the erasure) go too; how many.
CREATE FUNCTION privacy.erasure_clear_late() RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    one record;
    came bigint := 0;
BEGIN
    FOR one IN SELECT id, organisation_ref FROM access.organisation WHERE erased_at > ruxa.now() - interval '100 days'
    LOOP
        came := came + (SELECT coalesce(sum(split_part(line, ' ', 3)::bigint), 0)
            FROM unnest(privacy.clear_rows('organisation', one.id, one.organisation_ref)) AS line
            WHERE line NOT LIKE 'access.organisation.%');
    END LOOP;
    RETURN came;
END $$;

-- The subject thought better of it, while it still waits. What goes with it is taken back with it.
CREATE FUNCTION privacy.erasure_take_back(p_id uuid) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE privacy.erasure SET state = 'cancelled', subject = NULL, address_mark = NULL
        WHERE (id = p_id OR goes_with = p_id) AND state = 'waiting';
    RETURN FOUND;
END $$;

-- Exports: who may fetch a copy of what is kept about them, once. The copy itself is made while it is fetched.

CREATE TABLE privacy.export (
    id              uuid PRIMARY KEY,
    member_id       uuid NOT NULL REFERENCES access.member (id) ON DELETE CASCADE,
    asked_at        timestamptz NOT NULL DEFAULT ruxa.now(),
    expires_at      timestamptz NOT NULL,
    used_at         timestamptz
);
CREATE INDEX export_member ON privacy.export (member_id);
COMMENT ON TABLE privacy.export IS 'One copy of what is kept about a member that they asked for; fetched once, within 7 days.';
COMMENT ON COLUMN privacy.export.id IS 'data: none';
COMMENT ON COLUMN privacy.export.member_id IS
    'data: category=user.unique_id subject=member purpose=legal basis=legal_obligation keep=export seal=none erase=delete
     export=yes';
COMMENT ON COLUMN privacy.export.asked_at IS
    'data: category=user.behavior subject=member purpose=legal basis=legal_obligation keep=export seal=none erase=delete
     export=yes';
COMMENT ON COLUMN privacy.export.expires_at IS 'data: none';
COMMENT ON COLUMN privacy.export.used_at IS
    'data: category=user.behavior subject=member purpose=legal basis=legal_obligation keep=export seal=none erase=delete
     export=yes';

-- The columns of a table that a copy for a subject of this kind has.
CREATE FUNCTION privacy.exported(p_place text, p_tab text, p_action text, p_kind text) RETURNS text[]
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(array_agg(d.col ORDER BY d.num), '{}') FROM privacy.declared d
    WHERE d.place = p_place AND d.tab = p_tab AND CASE
        WHEN d.subject IS NULL THEN d.col = 'id' OR p_action <> 'null' AND d.type <> 'bytea'
        ELSE d.export = 'yes' AND privacy.is_about(d.subject, p_kind) END
$$;

-- Rows of one tie for an export that is under way: the columns that are declared export=yes about the subject, and those
-- without personal data beside them, as JSON. `p_organisation` is one that the member owns, or null for their own rows.
CREATE FUNCTION privacy.export_rows(
    p_export uuid, p_place text, p_tab text, p_col text, p_organisation uuid, p_after uuid, p_limit integer
) RETURNS SETOF jsonb
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    who uuid;
    ref uuid;
    tie record;
    wanted text;
    paged boolean;
    kind text := CASE WHEN p_organisation IS NULL THEN 'member' ELSE 'organisation' END;
BEGIN
    SELECT e.member_id INTO who FROM privacy.export e WHERE e.id = p_export;
    IF who IS NULL OR p_organisation IS NOT NULL AND NOT EXISTS (
        SELECT FROM access.membership m WHERE m.member_id = who AND m.organisation_id = p_organisation
            AND m.role = 'owner' AND m.accepted_at IS NOT NULL
    ) THEN
        RAISE EXCEPTION 'no such export' USING ERRCODE = 'RX662';
    END IF;
    IF p_organisation IS NOT NULL THEN
        who := p_organisation;
        SELECT o.organisation_ref INTO ref FROM access.organisation o WHERE o.id = who;
    END IF;
    SELECT * INTO tie FROM privacy.ties(kind) t WHERE (t.place, t.tab, t.col) = (p_place, p_tab, p_col);
    wanted := array_to_string(ARRAY(SELECT format('%I', one.col)
        FROM unnest(privacy.exported(p_place, p_tab, tie.action, kind)) AS one (col)), ', ');
    IF tie.col IS NULL OR wanted = '' THEN
        RETURN;
    END IF;
    -- Tables whose rows have an id are read page by page.
    paged := EXISTS (SELECT FROM privacy.declared d WHERE (d.place, d.tab, d.col, d.type) = (p_place, p_tab, 'id', 'uuid'));
    RETURN QUERY EXECUTE format('SELECT to_jsonb(one) FROM (SELECT %s FROM %I.%I WHERE (%s) %s) AS one', wanted, p_place,
        p_tab, tie.condition, CASE WHEN paged THEN 'AND ($3 IS NULL OR id > $3) ORDER BY id LIMIT $4' ELSE '' END)
        USING who, ref, p_after, p_limit;
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA privacy FROM PUBLIC;
GRANT SELECT ON privacy.declared TO ruxa_console, ruxa_worker, ruxa_operator, ruxa_export;
GRANT EXECUTE ON FUNCTION privacy.is_about(text, text), privacy.fate(oid, text, text, text), privacy.ties(text)
    TO ruxa_console, ruxa_worker, ruxa_operator, ruxa_export;
GRANT EXECUTE ON FUNCTION privacy.owned_by(uuid), privacy.paid_left(uuid), privacy.invited_only(uuid)
    TO ruxa_console, ruxa_worker, ruxa_operator, ruxa_erase;
GRANT EXECUTE ON FUNCTION privacy.owned_by(uuid) TO ruxa_export;
GRANT SELECT (closed_at, erased_at) ON access.organisation TO ruxa_worker;
GRANT UPDATE (organisation_sealed) ON access.mail TO ruxa_worker;
-- Who asks writes the journal's first line, and may hurry; who erases runs it.
GRANT SELECT, INSERT (id, kind, subject, subject_hash, asked_by, goes_with, forfeit, address_mark, due_at),
    UPDATE (due_at) ON privacy.erasure TO ruxa_console, ruxa_worker, ruxa_operator;
GRANT UPDATE (address_mark) ON privacy.erasure TO ruxa_worker; -- forgotten after 30 days
GRANT EXECUTE ON FUNCTION privacy.erasure_take_back(uuid) TO ruxa_console, ruxa_operator;
GRANT SELECT, INSERT, DELETE ON privacy.export TO ruxa_console, ruxa_operator;
GRANT UPDATE (used_at) ON privacy.export TO ruxa_console, ruxa_operator;
GRANT SELECT, DELETE ON privacy.export TO ruxa_worker;
