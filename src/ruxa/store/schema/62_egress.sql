-- What leaves the house: who is declared to receive data, and how often each received which category, by day.
-- Facts about companies and counts; nothing here is about a person.

CREATE TABLE privacy.recipient (
    name        text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    host        text NOT NULL CHECK (length(host) BETWEEN 1 AND 255),
    port        integer NOT NULL CHECK (port BETWEEN 1 AND 65535),
    role        text NOT NULL CHECK (role IN ('provider', 'processor', 'mail', 'storage', 'witness', 'customer', 'own')),
    who         text NOT NULL,
    categories  text[] NOT NULL,
    purposes    text[] NOT NULL,
    place       text NOT NULL,
    safeguard   text NOT NULL,
    source      text NOT NULL,
    trains      boolean,
    retention_days integer CHECK (retention_days >= 0),
    zero_retention boolean,
    mechanism   text CHECK (mechanism IN ('adequacy', 'scc', 'bcr', 'own')),
    certified_on date,
    first_at    timestamptz NOT NULL DEFAULT ruxa.now(),
    last_at     timestamptz NOT NULL DEFAULT ruxa.now(),
    PRIMARY KEY (name, host, port)
);
COMMENT ON TABLE privacy.recipient IS
    'Destinations as the processes that may dial them declared them, null is unknown; last_at is renewed at every start.';
COMMENT ON COLUMN privacy.recipient.name IS 'data: none';
COMMENT ON COLUMN privacy.recipient.host IS 'data: none';
COMMENT ON COLUMN privacy.recipient.port IS 'data: none';
COMMENT ON COLUMN privacy.recipient.role IS 'data: none';
COMMENT ON COLUMN privacy.recipient.who IS 'data: none';
COMMENT ON COLUMN privacy.recipient.categories IS 'data: none';
COMMENT ON COLUMN privacy.recipient.purposes IS 'data: none';
COMMENT ON COLUMN privacy.recipient.place IS 'data: none';
COMMENT ON COLUMN privacy.recipient.safeguard IS 'data: none';
COMMENT ON COLUMN privacy.recipient.source IS 'data: none';
COMMENT ON COLUMN privacy.recipient.trains IS 'data: none';
COMMENT ON COLUMN privacy.recipient.retention_days IS 'data: none';
COMMENT ON COLUMN privacy.recipient.zero_retention IS 'data: none';
COMMENT ON COLUMN privacy.recipient.mechanism IS 'data: none';
COMMENT ON COLUMN privacy.recipient.certified_on IS 'data: none';
COMMENT ON COLUMN privacy.recipient.first_at IS 'data: none';
COMMENT ON COLUMN privacy.recipient.last_at IS 'data: none';

CREATE TABLE privacy.egress_daily (
    day         date NOT NULL,
    recipient   text NOT NULL CHECK (length(recipient) BETWEEN 1 AND 100),
    host        text NOT NULL CHECK (length(host) BETWEEN 1 AND 255),
    category    text NOT NULL,
    sends       bigint NOT NULL CHECK (sends > 0),
    PRIMARY KEY (day, recipient, host, category)
);
COMMENT ON TABLE privacy.egress_daily IS
    'How often a category of data went to a recipient on a UTC day, over all customers; refused ones as undeclared.';
COMMENT ON COLUMN privacy.egress_daily.day IS 'data: none';
COMMENT ON COLUMN privacy.egress_daily.recipient IS 'data: none';
COMMENT ON COLUMN privacy.egress_daily.host IS 'data: none';
COMMENT ON COLUMN privacy.egress_daily.category IS 'data: none';
COMMENT ON COLUMN privacy.egress_daily.sends IS 'data: none';

-- Every process may count, and what is counted is published: so it is the register's own words, or none at all. What no
-- declaration names is counted as undeclared, under the host if that is one.
CREATE FUNCTION privacy.count_sends(p_recipient text, p_host text, p_category text, p_sends bigint) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO privacy.egress_daily (day, recipient, host, category, sends)
    SELECT ruxa.today(), coalesce(max(r.name), 'undeclared'),
        CASE WHEN max(r.name) IS NOT NULL OR p_host ~ '^[a-z0-9:][a-z0-9.:-]{0,252}$' THEN p_host ELSE 'no-host' END,
        CASE WHEN bool_or(p_category = ANY (r.categories)) THEN p_category ELSE 'undeclared' END, p_sends
    FROM privacy.recipient AS r WHERE r.name = p_recipient AND r.host = p_host
    ON CONFLICT (day, recipient, host, category)
    DO UPDATE SET sends = privacy.egress_daily.sends + excluded.sends;
$$;
REVOKE ALL ON FUNCTION privacy.count_sends(text, text, text, bigint) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION privacy.count_sends(text, text, text, bigint)
    TO ruxa_gateway, ruxa_console, ruxa_worker, ruxa_operator;
GRANT SELECT, INSERT ON privacy.recipient TO ruxa_gateway, ruxa_worker, ruxa_console, ruxa_operator;
GRANT UPDATE (role, who, categories, purposes, place, safeguard, source, trains, retention_days, zero_retention, mechanism,
    certified_on, last_at) ON privacy.recipient
    TO ruxa_gateway, ruxa_worker, ruxa_console, ruxa_operator;
GRANT SELECT ON privacy.egress_daily TO ruxa_console, ruxa_worker, ruxa_operator;
