-- Purposes are separate logins (D36): support sees whom it writes to and nothing else, tax what the law keeps. A person
-- whose data are restricted (GDPR Article 18) is not there for support; the rows stay, for storage is what is left.

CREATE TABLE privacy.restriction (
    member_id   uuid PRIMARY KEY REFERENCES access.member (id) ON DELETE CASCADE,
    asked_by    text NOT NULL CHECK (asked_by IN ('subject', 'operator')),
    since       timestamptz NOT NULL DEFAULT ruxa.now()
);
COMMENT ON TABLE privacy.restriction IS 'Members whose data may only be stored until the restriction is lifted.';
COMMENT ON COLUMN privacy.restriction.member_id IS
    'data: category=user.unique_id subject=member purpose=legal basis=legal_obligation keep=account seal=none
     erase=delete export=yes';
COMMENT ON COLUMN privacy.restriction.asked_by IS
    'data: category=user.privacy_preferences subject=member purpose=legal basis=legal_obligation keep=account
     seal=none erase=delete export=yes';
COMMENT ON COLUMN privacy.restriction.since IS
    'data: category=user.privacy_preferences subject=member purpose=legal basis=legal_obligation keep=account
     seal=none erase=delete export=yes';

CREATE FUNCTION privacy.is_restricted(p_member uuid) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM privacy.restriction WHERE member_id = p_member);
$$;
REVOKE ALL ON FUNCTION privacy.is_restricted(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION privacy.is_restricted(uuid) TO ruxa_support, ruxa_console, ruxa_worker, ruxa_operator;

ALTER TABLE access.member ENABLE ROW LEVEL SECURITY;
CREATE POLICY serving ON access.member TO ruxa_console, ruxa_worker, ruxa_operator USING (true) WITH CHECK (true);
CREATE POLICY whole ON access.member FOR SELECT TO ruxa_erase, ruxa_export USING (true);
CREATE POLICY unrestricted ON access.member FOR SELECT TO ruxa_support USING (NOT privacy.is_restricted(id));
ALTER TABLE access.membership ENABLE ROW LEVEL SECURITY;
CREATE POLICY serving ON access.membership TO ruxa_console, ruxa_worker, ruxa_operator USING (true) WITH CHECK (true);
CREATE POLICY whole ON access.membership FOR SELECT TO ruxa_export USING (true);
CREATE POLICY unrestricted ON access.membership FOR SELECT TO ruxa_support USING (NOT privacy.is_restricted(member_id));

-- Which login may read which column: for the check of grants against what the columns declare.
CREATE FUNCTION privacy.readable() RETURNS TABLE (login text, place text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT r.rolname::text, n.nspname || '.' || c.relname || '.' || a.attname
    FROM pg_roles r
    CROSS JOIN pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE r.rolname LIKE 'ruxa\_%' AND r.rolcanlogin AND NOT r.rolsuper AND r.rolname <> 'ruxa_owner'
        AND c.relkind IN ('r', 'p', 'm', 'f') AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped
        AND 'ruxa_owner'::regrole IN (c.relowner, n.nspowner)
        AND has_schema_privilege(r.oid, n.oid, 'USAGE') AND has_column_privilege(r.oid, c.oid, a.attnum, 'SELECT');
$$;
REVOKE ALL ON FUNCTION privacy.readable() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION privacy.readable() TO ruxa_console, ruxa_worker, ruxa_operator;

GRANT USAGE ON SCHEMA ruxa, access TO ruxa_support;
GRANT SELECT (id, email_index, email_sealed, name_sealed, locale) ON access.member TO ruxa_support;
GRANT SELECT (organisation_id, member_id, role) ON access.membership TO ruxa_support;
GRANT SELECT (id, name_sealed, suspended_at, suspended_why, closed_at, created_at) ON access.organisation
    TO ruxa_support;

GRANT USAGE ON SCHEMA ruxa, ledger TO ruxa_tax;
GRANT SELECT ON ledger.transfer, ledger.account, ledger.lot, ledger.billing_evidence, ledger.price, ledger.seal
    TO ruxa_tax;

GRANT SELECT, INSERT, DELETE ON privacy.restriction TO ruxa_console, ruxa_operator;
