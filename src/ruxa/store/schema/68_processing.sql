-- The record of processing reads the schema's own declarations; this adds the keys inside JSON columns, names only.

CREATE FUNCTION privacy.json_keys() RETURNS TABLE (place text, key text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT n.nspname, c.relname, a.attname
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relkind IN ('r', 'p', 'm', 'f') AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped
            AND a.atttypid IN ('json'::regtype, 'jsonb'::regtype)
            AND 'ruxa_owner'::regrole IN (c.relowner, n.nspowner)
        ORDER BY 1, 2, 3
    LOOP
        RETURN QUERY EXECUTE format(
            'SELECT DISTINCT %L, k FROM (SELECT %I::jsonb AS j FROM %I.%I LIMIT 1000) AS newest,'
            ' LATERAL jsonb_object_keys(CASE jsonb_typeof(j) WHEN ''object'' THEN j ELSE ''{}'' END) AS k ORDER BY 2',
            found.nspname || '.' || found.relname || '.' || found.attname, found.attname, found.nspname, found.relname);
    END LOOP;
END $$;
REVOKE ALL ON FUNCTION privacy.json_keys() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION privacy.json_keys() TO ruxa_console, ruxa_operator, ruxa_worker;
