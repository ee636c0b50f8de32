-- Erasing and copying have logins of their own (D36), and each may do what it is there for: ruxa_erase reads ids and the
-- journal of erasures, and no value of anybody; ruxa_export reads the columns that a copy has, and changes nothing.
-- What ruxa_audit may, which adds to the log's tree, stands with the log (35_audit.sql).

GRANT USAGE ON SCHEMA ruxa, access, audit, content, ledger, privacy TO ruxa_erase;
GRANT SELECT, INSERT (id, kind, subject, subject_hash, asked_by, goes_with, forfeit, address_mark, due_at),
    UPDATE (state, subject, due_at, key_ids, done_at, address_mark, certificate, signature, signed_by)
    ON privacy.erasure TO ruxa_erase;
GRANT EXECUTE ON FUNCTION privacy.erasure_freeze(uuid), privacy.erasure_clear(uuid, text[]), privacy.erasure_clear_late()
    TO ruxa_erase;
GRANT EXECUTE ON FUNCTION audit.write(uuid, boolean, uuid, bytea, bytea, bytea, bytea), content.held(uuid) TO ruxa_erase;
GRANT SELECT (id) ON access.member TO ruxa_erase;
GRANT SELECT (id, organisation_ref, erased_at) ON access.organisation TO ruxa_erase;
-- An organisation's content goes with the objects it names in the object store, which no function of ours reaches.
GRANT DELETE, SELECT (id, until, organisation_id, key_id, request_object, answer_object) ON content.item TO ruxa_erase;
GRANT DELETE, SELECT (organisation_id, body_object) ON content.file TO ruxa_erase;
GRANT DELETE, SELECT (organisation_id) ON content.batch, content.batch_line TO ruxa_erase;
GRANT DELETE, SELECT (organisation_id, key_id) ON content.repeat TO ruxa_erase;
GRANT DELETE, SELECT (id, until, organisation_id, key_id, state_object) ON content.response TO ruxa_erase;

GRANT USAGE ON SCHEMA ruxa, access, audit, content, ledger, payment, privacy TO ruxa_export;
GRANT SELECT ON privacy.export TO ruxa_export;
GRANT EXECUTE ON FUNCTION privacy.export_rows(uuid, text, text, text, uuid, uuid, integer),
    privacy.exported(text, text, text, text) TO ruxa_export;
-- What the person did is read from the log by who acted.
GRANT SELECT ON audit.entry, audit.customer_entry TO ruxa_export;
GRANT SELECT (seq, entry_id) ON audit.leaf TO ruxa_export;
-- Documents are printed, by which their text's hash is noted; is_erased: for the policy of their tables.
GRANT EXECUTE ON FUNCTION ledger.is_erased(uuid), ledger.billing_subject(uuid), ledger.document_printed(uuid, bytea)
    TO ruxa_export;
GRANT SELECT ON ledger.document, ledger.document_line, ledger.document_tax TO ruxa_export;
-- Whether there was a refusal is read to find a call's content; it is not opened.
GRANT SELECT (refusal_sealed) ON content.item TO ruxa_export;

-- The columns of a copy, by the map, and those that say whose a row is. A later step that adds such a column ends with
-- a call of this; what is not granted is refused to every copy, and found by the tests.
CREATE FUNCTION privacy.grant_export() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    one record;
BEGIN
    FOR one IN
        WITH tie AS (
            SELECT k.kind, t.* FROM unnest(ARRAY['member', 'organisation']) AS k (kind), privacy.ties(k.kind) AS t
            WHERE t.action <> 'leave' AND t.place <> 'jobs'
        ), wanted AS (
            SELECT t.place, t.tab, t.col FROM tie t
            UNION SELECT t.place, t.tab, 'id' FROM tie t JOIN privacy.declared d
                ON (d.place, d.tab, d.col) = (t.place, t.tab, 'id')
            UNION SELECT t.place, t.tab, c FROM tie t, unnest(privacy.exported(t.place, t.tab, t.action, t.kind)) AS c
        )
        SELECT w.place, w.tab, string_agg(quote_ident(w.col), ', ' ORDER BY w.col) AS columns FROM wanted w
        GROUP BY w.place, w.tab
    LOOP
        EXECUTE format('GRANT SELECT (%s) ON %I.%I TO ruxa_export', one.columns, one.place, one.tab);
    END LOOP;
END $$;
REVOKE ALL ON FUNCTION privacy.grant_export() FROM PUBLIC;
SELECT privacy.grant_export();
