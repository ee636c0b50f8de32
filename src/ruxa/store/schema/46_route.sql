-- Routes: public names that stand for more than one model, or for one that will go. A row is never changed but for its
-- end, and none is removed: what a name stood for can always be said.

CREATE TABLE ledger.route (
    id          uuid PRIMARY KEY,
    name        text NOT NULL CHECK (name ~ '^\S+$' AND length(name) <= 200),
    chosen_by   text NOT NULL CHECK (chosen_by IN ('order', 'weight', 'price', 'latency')),
    models      text[] NOT NULL CHECK (cardinality(models) BETWEEN 1 AND 16),
    weights     bigint[] NOT NULL CHECK (0 < ALL (weights)),
    retires_at  timestamptz,
    successor   text CHECK (length(successor) <= 200),
    effective   tstzrange NOT NULL CHECK (NOT isempty(effective) AND lower_inc(effective)),
    CONSTRAINT route_shares CHECK (cardinality(models) = cardinality(weights)),
    CONSTRAINT route_retires CHECK ((retires_at IS NULL) = (successor IS NULL)),
    CONSTRAINT route_overlap EXCLUDE USING gist (name WITH =, effective WITH &&)
);
COMMENT ON TABLE ledger.route IS 'What a public name stands for in a period: models with their shares, and when the name goes.';
COMMENT ON COLUMN ledger.route.id IS 'data: none';
COMMENT ON COLUMN ledger.route.name IS 'data: none';
COMMENT ON COLUMN ledger.route.chosen_by IS 'data: none';
COMMENT ON COLUMN ledger.route.models IS 'data: none';
COMMENT ON COLUMN ledger.route.weights IS 'data: none';
COMMENT ON COLUMN ledger.route.retires_at IS 'data: none';
COMMENT ON COLUMN ledger.route.successor IS 'data: none';
COMMENT ON COLUMN ledger.route.effective IS 'data: none';

-- Only the open end of a row may be closed.
CREATE FUNCTION ledger.route_guard() RETURNS trigger
    LANGUAGE plpgsql
AS $$
DECLARE
    same ledger.route;
BEGIN
    same := NEW;
    same.effective := OLD.effective;
    IF same IS DISTINCT FROM OLD OR lower(NEW.effective) <> lower(OLD.effective) OR NOT upper_inf(OLD.effective) THEN
        RAISE EXCEPTION 'immutable' USING ERRCODE = 'RX900';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER route_kept BEFORE UPDATE ON ledger.route FOR EACH ROW EXECUTE FUNCTION ledger.route_guard();
CREATE TRIGGER route_kept_rows BEFORE DELETE ON ledger.route FOR EACH ROW EXECUTE FUNCTION ledger.deny();
CREATE TRIGGER route_kept_whole BEFORE TRUNCATE ON ledger.route EXECUTE FUNCTION ledger.deny();

-- Ends the route of a name; the row's id, null when none is in force.
CREATE FUNCTION ledger.route_end(p_name text) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    moment timestamptz;
    ended uuid;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('ledger route ' || p_name, 0));
    moment := ruxa.now();
    UPDATE ledger.route SET effective = tstzrange(lower(effective), moment)
        WHERE name = p_name AND upper_inf(effective) AND lower(effective) < moment
        RETURNING id INTO ended;
    IF FOUND THEN
        PERFORM pg_notify('price_changed', '');
    END IF;
    RETURN ended;
END $$;

-- A route from now on; the id of the row in force. Nothing changes when it says the same.
CREATE FUNCTION ledger.route_put(
    p_id uuid, p_name text, p_by text, p_models text[], p_weights bigint[], p_retires_at timestamptz, p_successor text
) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    old ledger.route;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('ledger route ' || p_name, 0));
    SELECT * INTO old FROM ledger.route WHERE name = p_name AND upper_inf(effective);
    IF FOUND THEN
        IF (old.chosen_by, old.models, old.weights, old.retires_at, old.successor)
            IS NOT DISTINCT FROM (p_by, p_models, p_weights, p_retires_at, p_successor) THEN
            RETURN old.id;
        END IF;
        PERFORM ledger.route_end(p_name);
    END IF;
    INSERT INTO ledger.route (id, name, chosen_by, models, weights, retires_at, successor, effective)
        VALUES (p_id, p_name, p_by, p_models, p_weights, p_retires_at, p_successor, tstzrange(ruxa.now(), NULL));
    PERFORM pg_notify('price_changed', '');
    RETURN p_id;
END $$;

REVOKE ALL ON FUNCTION ledger.route_end(text),
    ledger.route_put(uuid, text, text, text[], bigint[], timestamptz, text) FROM PUBLIC;
GRANT SELECT ON ledger.route TO ruxa_gateway, ruxa_console, ruxa_worker, ruxa_operator;
GRANT EXECUTE ON FUNCTION ledger.route_end(text),
    ledger.route_put(uuid, text, text, text[], bigint[], timestamptz, text) TO ruxa_operator;
