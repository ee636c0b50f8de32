-- Routes that are closed for prepaid calls, because the provider counted far more than the hold (D21). What is closed is
-- a list price of a model, and with it what follows from it in every book: another list price opens the route again, and
-- so does the operator.

CREATE TABLE ledger.route_closed (
    price_id      uuid PRIMARY KEY REFERENCES ledger.price (id),
    over_percent  bigint NOT NULL CHECK (over_percent > 0),
    closed_at     timestamptz NOT NULL DEFAULT ruxa.now()
);
COMMENT ON TABLE ledger.route_closed IS 'A price at which a model is not served now: its provider counted more than the hold.';
COMMENT ON COLUMN ledger.route_closed.price_id IS 'data: none';
COMMENT ON COLUMN ledger.route_closed.over_percent IS 'data: none';
COMMENT ON COLUMN ledger.route_closed.closed_at IS 'data: none';

CREATE FUNCTION ledger.route_close(p_price uuid, p_over_percent bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO ledger.route_closed (price_id, over_percent)
        VALUES (coalesce((SELECT p.list_id FROM ledger.price AS p WHERE p.id = p_price), p_price), p_over_percent)
        ON CONFLICT (price_id) DO NOTHING;
    IF FOUND THEN
        PERFORM pg_notify('price_changed', '');
    END IF;
END $$;

-- The price at which the model was closed; null when it was open.
CREATE FUNCTION ledger.route_open(p_model text) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    opened uuid;
BEGIN
    DELETE FROM ledger.route_closed AS c USING ledger.price AS p
        WHERE c.price_id = p.id AND p.model = p_model AND p.effective @> ruxa.now()
        RETURNING c.price_id INTO opened;
    IF FOUND THEN
        PERFORM pg_notify('price_changed', '');
    END IF;
    RETURN opened;
END $$;

REVOKE ALL ON FUNCTION ledger.route_close(uuid, bigint), ledger.route_open(text) FROM PUBLIC;
GRANT SELECT ON ledger.route_closed TO ruxa_gateway, ruxa_console, ruxa_worker, ruxa_operator;
GRANT EXECUTE ON FUNCTION ledger.route_close(uuid, bigint) TO ruxa_gateway;
GRANT EXECUTE ON FUNCTION ledger.route_open(text) TO ruxa_operator;
