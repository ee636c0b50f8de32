-- Documents: what customers and tax offices read of the ledger: billing profiles, invoices, receipts, credit notes and
-- monthly statements. Numbers have no gaps (a counter row of the same transaction), what is issued never changes, and a
-- correction is a document of its own. Amounts, dates, taxes and references are in clear; who a document is for is
-- sealed by the billing key of the organisation and fiscal year. A profile is no document: it is sealed by the
-- organisation's own key and goes with it.
--
-- SQLSTATEs of this file (Conflict in the product): RX080 a document that corrects says more than is left of the one it
-- corrects; RX081 no such document to correct; RX082 lines that do
-- not add up to the document; RX053 the record is younger than its time; RX900 immutable.

-- Whose documents are restricted: an erased organisation's are there for the law alone.
CREATE FUNCTION ledger.is_erased(p_organisation uuid) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    RETURN EXISTS (SELECT FROM access.organisation AS o
        WHERE o.organisation_ref = p_organisation AND o.erased_at IS NOT NULL);

-- The subject whose billing keys seal what a reference's documents say.
CREATE FUNCTION ledger.billing_subject(p_organisation uuid) RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    RETURN (SELECT o.id FROM access.organisation AS o WHERE o.organisation_ref = p_organisation);

-- Profiles

CREATE TABLE ledger.billing_profile (
    id               uuid PRIMARY KEY,
    organisation_ref uuid NOT NULL UNIQUE,
    profile_sealed   bytea NOT NULL,
    changed_at       timestamptz NOT NULL
);
ALTER TABLE ledger.billing_profile ALTER COLUMN profile_sealed SET STATISTICS 0;
COMMENT ON TABLE ledger.billing_profile IS
    'Whom an organisation''s invoices are for, as it says now; gone with the organisation.';

CREATE FUNCTION ledger.profile_put(p_id uuid, p_organisation uuid, p_sealed bytea) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO ledger.billing_profile (id, organisation_ref, profile_sealed, changed_at)
        SELECT p_id, p_organisation, p_sealed, ruxa.now() WHERE NOT ledger.is_erased(p_organisation)
        ON CONFLICT (id) DO UPDATE SET profile_sealed = p_sealed, changed_at = ruxa.now()
            WHERE ledger.billing_profile.organisation_ref = p_organisation
$$;

CREATE FUNCTION ledger.profile_drop(p_organisation uuid) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM ledger.billing_profile WHERE organisation_ref = p_organisation;
    RETURN FOUND;
END $$;

-- Documents

CREATE TABLE ledger.document_series (
    series     text NOT NULL CHECK (series ~ '^[A-Z0-9-]{2,24}$'),
    year       integer NOT NULL CHECK (year BETWEEN 2000 AND 9999),
    last       bigint NOT NULL CHECK (last >= 0),
    PRIMARY KEY (series, year)
);
COMMENT ON TABLE ledger.document_series IS 'The last number of a series in a fiscal year; locked while a document is issued.';

CREATE TABLE ledger.document (
    id               uuid PRIMARY KEY,
    kind             text NOT NULL CHECK (kind IN ('invoice', 'receipt', 'credit_note', 'statement')),
    series           text NOT NULL,
    year             integer NOT NULL,
    number           bigint NOT NULL CHECK (number > 0),
    name             text NOT NULL UNIQUE,
    organisation_ref uuid NOT NULL,
    scope            text NOT NULL CHECK (scope IN ('sandbox', 'live')),
    origin           text NOT NULL UNIQUE CHECK (length(origin) BETWEEN 3 AND 120),
    corrects_id      uuid REFERENCES ledger.document (id),
    order_id         uuid,
    fact_id          uuid,
    reference        text CHECK (length(reference) <= 60),
    processor        text CHECK (length(processor) <= 60),
    method           text CHECK (length(method) <= 60),
    ext_id           text CHECK (length(ext_id) <= 255),
    currency         text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    net_micros       bigint NOT NULL,
    tax_micros       bigint NOT NULL,
    gross_micros     bigint NOT NULL,
    supplied_on      date NOT NULL,
    period_from      date,
    period_until     date,
    place_country    text CHECK (place_country ~ '^[A-Z]{2}$'),
    place_evidence   text NOT NULL CHECK (place_evidence IN ('none', 'address', 'address_and_tax_id')),
    fiscal_year      integer NOT NULL,
    language         text NOT NULL CHECK (language IN ('en', 'zh')),
    seller           text NOT NULL CHECK (length(seller) <= 4000),
    party_sealed     bytea,
    issued_at        timestamptz NOT NULL,
    sha256           bytea NOT NULL CHECK (octet_length(sha256) = 32),
    pdf_sha256       bytea CHECK (octet_length(pdf_sha256) = 32),
    UNIQUE (series, year, number),
    FOREIGN KEY (series, year) REFERENCES ledger.document_series (series, year),
    CONSTRAINT document_sum CHECK (net_micros + tax_micros = gross_micros),
    CONSTRAINT document_amount CHECK (kind = 'statement' OR (net_micros >= 0 AND tax_micros >= 0 AND gross_micros > 0)),
    CONSTRAINT document_corrects CHECK ((kind = 'credit_note') = (corrects_id IS NOT NULL)),
    CONSTRAINT document_party CHECK (kind <> 'invoice' OR party_sealed IS NOT NULL),
    CONSTRAINT document_period CHECK ((kind = 'statement') = (period_from IS NOT NULL AND period_until IS NOT NULL))
);
CREATE INDEX document_organisation ON ledger.document (organisation_ref, id);
CREATE INDEX document_order ON ledger.document (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX document_fact ON ledger.document (fact_id) WHERE fact_id IS NOT NULL;
CREATE INDEX document_corrected ON ledger.document (corrects_id) WHERE corrects_id IS NOT NULL;
ALTER TABLE ledger.document ALTER COLUMN party_sealed SET STATISTICS 0;
COMMENT ON TABLE ledger.document IS
    'Issued documents: never changed, numbered without gaps; a credit note says what is given back of which one.';

CREATE TABLE ledger.document_line (
    document_id      uuid NOT NULL REFERENCES ledger.document (id) ON DELETE CASCADE,
    ord              integer NOT NULL CHECK (ord > 0),
    organisation_ref uuid NOT NULL,
    kind             text NOT NULL CHECK (kind ~ '^[a-z_]{2,40}$'),
    label            text NOT NULL CHECK (length(label) <= 200),
    quantity         bigint NOT NULL CHECK (quantity >= 0),
    amount_micros    bigint NOT NULL,
    PRIMARY KEY (document_id, ord)
);
COMMENT ON TABLE ledger.document_line IS 'What a document lists: a kind, a model or reference, how many, how much.';

CREATE TABLE ledger.document_tax (
    document_id      uuid NOT NULL REFERENCES ledger.document (id) ON DELETE CASCADE,
    ord              integer NOT NULL CHECK (ord > 0),
    organisation_ref uuid NOT NULL,
    jurisdiction     text NOT NULL CHECK (length(jurisdiction) BETWEEN 1 AND 60),
    name             text NOT NULL CHECK (length(name) <= 60),
    rate             text NOT NULL CHECK (rate ~ '^([0-9]{1,2}(\.[0-9]{1,4})?)?$'),
    net_micros       bigint NOT NULL,
    tax_micros       bigint NOT NULL,
    note             text NOT NULL CHECK (note IN ('charged', 'reverse_charge', 'outside', 'none', 'processor')),
    PRIMARY KEY (document_id, ord)
);
COMMENT ON TABLE ledger.document_tax IS 'The taxes of a document, each with its rate and what it is taken of.';

-- Nothing of a document changes; only the hash of its first printing is noted, once. It goes when its years are over.
CREATE FUNCTION ledger.document_guard() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF ruxa.now() < ledger.kept_until(make_date(OLD.fiscal_year, 12, 31)) THEN
            RAISE EXCEPTION 'younger than its time' USING ERRCODE = 'RX053';
        END IF;
        RETURN OLD;
    END IF;
    IF OLD.pdf_sha256 IS NOT NULL OR NEW.pdf_sha256 IS NULL
        OR to_jsonb(NEW) - 'pdf_sha256' <> to_jsonb(OLD) - 'pdf_sha256' THEN
        RAISE EXCEPTION 'immutable' USING ERRCODE = 'RX900';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER document_kept BEFORE UPDATE OR DELETE ON ledger.document
    FOR EACH ROW EXECUTE FUNCTION ledger.document_guard();
CREATE TRIGGER document_kept_whole BEFORE TRUNCATE ON ledger.document EXECUTE FUNCTION ledger.deny();

-- Its lines and taxes go with it and never else.
CREATE FUNCTION ledger.document_part_guard() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'UPDATE' OR EXISTS (SELECT FROM ledger.document AS d WHERE d.id = OLD.document_id) THEN
        RAISE EXCEPTION 'immutable' USING ERRCODE = 'RX900';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER document_line_kept BEFORE UPDATE OR DELETE ON ledger.document_line
    FOR EACH ROW EXECUTE FUNCTION ledger.document_part_guard();
CREATE TRIGGER document_line_kept_whole BEFORE TRUNCATE ON ledger.document_line EXECUTE FUNCTION ledger.deny();
CREATE TRIGGER document_tax_kept BEFORE UPDATE OR DELETE ON ledger.document_tax
    FOR EACH ROW EXECUTE FUNCTION ledger.document_part_guard();
CREATE TRIGGER document_tax_kept_whole BEFORE TRUNCATE ON ledger.document_tax EXECUTE FUNCTION ledger.deny();

-- A counter only goes on, one by one, and at the commit its last number is a document's: so a gap can't be committed.
CREATE FUNCTION ledger.document_series_guard() RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    IF TG_OP = 'DELETE' OR (NEW.series, NEW.year) <> (OLD.series, OLD.year) OR NEW.last <> OLD.last + 1 THEN
        RAISE EXCEPTION 'immutable' USING ERRCODE = 'RX900';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER document_series_kept BEFORE UPDATE OR DELETE ON ledger.document_series
    FOR EACH ROW EXECUTE FUNCTION ledger.document_series_guard();
CREATE TRIGGER document_series_kept_whole BEFORE TRUNCATE ON ledger.document_series EXECUTE FUNCTION ledger.deny();

CREATE FUNCTION ledger.document_series_used() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.last > 0 AND NOT EXISTS (SELECT FROM ledger.document AS d
        WHERE (d.series, d.year, d.number) = (NEW.series, NEW.year, NEW.last)) THEN
        RAISE EXCEPTION 'a number without its document' USING ERRCODE = 'RX900';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER document_series_used AFTER INSERT OR UPDATE ON ledger.document_series
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger.document_series_used();

-- What a document says, as one hash: every column but the hashes, its lines and taxes, and the sealed party as it lies.
CREATE FUNCTION ledger.document_hash(d ledger.document, p_lines text, p_taxes text) RETURNS bytea
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    RETURN sha256(convert_to(concat_ws(E'\n',
        (to_jsonb(d) - ARRAY['sha256', 'pdf_sha256', 'issued_at', 'party_sealed'])::text, ledger.unix_ms(d.issued_at),
        coalesce(encode(sha256(d.party_sealed), 'hex'), '-'), coalesce(p_lines, '-'), coalesce(p_taxes, '-')), 'UTF8'));

-- Whether a fact is money that came or went back and is written down in no document.
CREATE FUNCTION ledger.undocumented(f payment.fact) RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    RETURN CASE
        WHEN f.kind = 'capture' AND f.status = 'succeeded' THEN NOT EXISTS (SELECT FROM ledger.document AS d
            WHERE d.origin = 'receipt:' || replace(f.id::text, '-', ''))
        WHEN f.kind = 'refund' AND f.status = 'succeeded' OR f.kind = 'dispute' AND f.status = 'lost' THEN
            NOT EXISTS (SELECT FROM ledger.document AS d WHERE d.fact_id = f.id)
            AND EXISTS (SELECT FROM ledger.document AS d WHERE d.fact_id = f.capture_id
                AND d.kind IN ('receipt', 'invoice') AND d.gross_micros > (SELECT coalesce(sum(c.gross_micros), 0)
                    FROM ledger.document AS c WHERE c.corrects_id = d.id)
                AND NOT (d.kind = 'receipt' AND EXISTS (SELECT FROM ledger.document AS i
                    WHERE i.fact_id = f.capture_id AND i.kind = 'invoice')))
        ELSE false END;

-- Issues a document: the next number of its series and the document, its lines and taxes, or nothing of it. The same
-- origin again gives the first one's id. Lines: kind, label, quantity, amount; taxes: jurisdiction, name, rate, net,
-- tax, note.
CREATE FUNCTION ledger.document_issue(p_document jsonb, p_party bytea, p_lines jsonb, p_taxes jsonb) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    d ledger.document := jsonb_populate_record(NULL::ledger.document, p_document);
    known uuid;
    corrected ledger.document;
    before record;
    listed record;
    taxed record;
BEGIN
    PERFORM ledger.commit_durably();
    SELECT id INTO known FROM ledger.document WHERE origin = d.origin;
    IF known IS NOT NULL THEN
        RETURN known;
    END IF;
    INSERT INTO ledger.document_series (series, year, last) VALUES (d.series, d.year, 0) ON CONFLICT DO NOTHING;
    -- One after the other from here to the commit: whoever waited looks again.
    PERFORM FROM ledger.document_series WHERE series = d.series AND year = d.year FOR NO KEY UPDATE;
    SELECT id INTO known FROM ledger.document WHERE origin = d.origin;
    IF known IS NOT NULL THEN
        RETURN known;
    END IF;
    IF d.corrects_id IS NOT NULL THEN
        SELECT * INTO corrected FROM ledger.document WHERE id = d.corrects_id FOR NO KEY UPDATE;
        IF corrected.id IS NULL OR corrected.organisation_ref <> d.organisation_ref OR corrected.scope <> d.scope
            OR corrected.currency <> d.currency OR corrected.kind NOT IN ('invoice', 'receipt') THEN
            RAISE EXCEPTION 'no such document' USING ERRCODE = 'RX081';
        END IF;
        SELECT coalesce(sum(o.gross_micros), 0) AS gross, coalesce(sum(o.tax_micros), 0) AS tax INTO before
            FROM ledger.document AS o WHERE o.corrects_id = d.corrects_id;
        IF before.gross + d.gross_micros > corrected.gross_micros OR before.tax + d.tax_micros > corrected.tax_micros
        THEN
            RAISE EXCEPTION 'more than is left' USING ERRCODE = 'RX080';
        END IF;
    END IF;
    UPDATE ledger.document_series SET last = last + 1 WHERE series = d.series AND year = d.year
        RETURNING last INTO d.number;
    d.name := format('%s-%s-%s', d.series, d.year, lpad(d.number::text, greatest(6, length(d.number::text)), '0'));
    d.issued_at := ruxa.now();
    d.party_sealed := p_party;
    d.pdf_sha256 := NULL;
    SELECT string_agg(concat_ws('|', l.one->>0, l.one->>1, l.one->>2, l.one->>3), E'\n' ORDER BY l.ord) AS lines,
            coalesce(sum((l.one->>3)::bigint), 0) AS net INTO listed
        FROM jsonb_array_elements(p_lines) WITH ORDINALITY AS l (one, ord);
    SELECT string_agg(concat_ws('|', t.one->>0, t.one->>1, t.one->>2, t.one->>3, t.one->>4, t.one->>5), E'\n'
            ORDER BY t.ord) AS taxes, coalesce(sum((t.one->>4)::bigint), 0) AS tax INTO taxed
        FROM jsonb_array_elements(p_taxes) WITH ORDINALITY AS t (one, ord);
    IF d.kind <> 'statement' AND (listed.net, taxed.tax) <> (d.net_micros, d.tax_micros) THEN
        RAISE EXCEPTION 'lines do not add up' USING ERRCODE = 'RX082';
    END IF;
    d.sha256 := ledger.document_hash(d, listed.lines, taxed.taxes);
    INSERT INTO ledger.document SELECT (d).*;
    INSERT INTO ledger.document_line (document_id, ord, organisation_ref, kind, label, quantity, amount_micros)
        SELECT d.id, l.ord, d.organisation_ref, l.one->>0, l.one->>1, (l.one->>2)::bigint, (l.one->>3)::bigint
        FROM jsonb_array_elements(p_lines) WITH ORDINALITY AS l (one, ord);
    INSERT INTO ledger.document_tax (document_id, ord, organisation_ref, jurisdiction, name, rate, net_micros,
            tax_micros, note)
        SELECT d.id, t.ord, d.organisation_ref, t.one->>0, t.one->>1, t.one->>2, (t.one->>3)::bigint,
            (t.one->>4)::bigint, t.one->>5
        FROM jsonb_array_elements(p_taxes) WITH ORDINALITY AS t (one, ord);
    RETURN d.id;
END $$;

-- Orders with a capture that has no receipt, or money that went back without a credit note, of facts that changed since;
-- a disputed payment that was given back already has nothing left to credit.
CREATE FUNCTION ledger.documents_due(p_since timestamptz, p_limit integer) RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT DISTINCT f.order_id FROM payment.fact AS f
    WHERE f.changed_at >= p_since AND f.amount_minor > 0 AND ledger.undocumented(f)
        AND ledger.billing_subject(f.organisation_ref) IS NOT NULL AND NOT ledger.is_erased(f.organisation_ref)
    ORDER BY 1 LIMIT p_limit
$$;

-- Notes the hash of the first printing; false when it is noted and another.
CREATE FUNCTION ledger.document_printed(p_id uuid, p_sha256 bytea) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE ledger.document SET pdf_sha256 = p_sha256 WHERE id = p_id AND pdf_sha256 IS NULL;
    RETURN (SELECT d.pdf_sha256 = p_sha256 FROM ledger.document AS d WHERE d.id = p_id);
END $$;

-- Documents whose years are over go, with whatever corrects them first; how many.
CREATE FUNCTION ledger.documents_end(p_limit integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    gone bigint;
BEGIN
    DELETE FROM ledger.document WHERE id IN (
        SELECT d.id FROM ledger.document AS d
        WHERE ruxa.now() >= ledger.kept_until(make_date(d.fiscal_year, 12, 31))
            AND NOT EXISTS (SELECT FROM ledger.document AS c WHERE c.corrects_id = d.id)
        ORDER BY d.id LIMIT p_limit);
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END $$;
CREATE FUNCTION ledger.documents_over() RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    RETURN (SELECT count(*) FROM ledger.document AS d
        WHERE ruxa.now() >= ledger.kept_until(make_date(d.fiscal_year, 12, 31)));

-- Statements

-- What an organisation's credit did in a period, from what was posted to its lots and its debt: `opening`, then every
-- kind of movement, `closing`; gains are positive. `charge` is what was posted for usage; `call` lines are the charges
-- of the period's calls by model, from their rows and, where these are gone, from the billing evidence of the month.
CREATE FUNCTION ledger.statement_of(p_organisation uuid, p_scope text, p_from timestamptz, p_until timestamptz)
    RETURNS TABLE (kind text, label text, quantity bigint, amount_micros bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    WITH mine AS MATERIALIZED (
        SELECT l.account_id AS id FROM ledger.lot AS l WHERE l.organisation_ref = p_organisation AND l.scope = p_scope
        UNION ALL
        SELECT a.id FROM ledger.account AS a WHERE a.code = ledger.shortfall_code(p_organisation, p_scope)
    ), moves AS MATERIALIZED (
        SELECT t.at < p_from AS before, t.code, o.code AS other,
            CASE WHEN c.id IS NULL THEN -t.amount_micros ELSE t.amount_micros END AS amount
        FROM ledger.movement AS t
            LEFT JOIN mine AS d ON d.id = t.debit_id LEFT JOIN mine AS c ON c.id = t.credit_id
            JOIN ledger.account AS o ON o.id = CASE WHEN c.id IS NULL THEN t.credit_id ELSE t.debit_id END
        WHERE t.organisation_ref = p_organisation AND t.scope = p_scope AND t.state IN ('posted', 'post')
            AND t.at < p_until AND (d.id IS NULL) <> (c.id IS NULL)
        UNION ALL
        -- What years that are gone left.
        SELECT true, '', '', o.cr_posted - o.dr_posted FROM ledger.opening AS o JOIN mine AS m ON m.id = o.account_id
    ), named AS (
        SELECT CASE
                WHEN m.other LIKE 'revenue:usage:%' THEN 'charge'
                WHEN m.code = 'expired' THEN 'expiry'
                WHEN starts_with(m.code, 'refund') THEN 'refund'
                WHEN starts_with(m.code, 'dispute') THEN 'dispute'
                WHEN m.other LIKE 'asset:clearing:%' OR m.other LIKE 'asset:bank%' THEN 'top_up'
                WHEN m.other LIKE 'expense:writeoff:%' THEN 'writeoff'
                WHEN m.amount > 0 THEN 'credit'
                ELSE 'other' END AS kind,
            m.code, m.amount
        FROM moves AS m WHERE NOT m.before
    ), calls AS (
        SELECT u.price_id, count(*) AS calls, sum(u.amount_micros) AS amount FROM ledger.usage_event AS u
        WHERE u.organisation_ref = p_organisation AND u.scope = p_scope AND u.price_id IS NOT NULL
            AND u.id >= ruxa.id_floor(p_from) AND u.id < ruxa.id_floor(p_until)
        GROUP BY u.price_id
        UNION ALL
        SELECT e.price_id, sum(e.calls), sum(e.amount_micros) FROM ledger.billing_evidence AS e
        WHERE e.organisation_ref = p_organisation AND e.scope = p_scope
            AND e.month >= (p_from AT TIME ZONE 'UTC')::date AND e.month < (p_until AT TIME ZONE 'UTC')::date
        GROUP BY e.price_id
    )
    SELECT 'opening', '', 0::bigint, coalesce(sum(m.amount) FILTER (WHERE m.before), 0)::bigint FROM moves AS m
    UNION ALL
    (SELECT n.kind, CASE n.kind WHEN 'credit' THEN n.code WHEN 'other' THEN n.code ELSE '' END AS label,
        count(*), sum(n.amount)::bigint
    FROM named AS n GROUP BY 1, 2 ORDER BY 1, 2)
    UNION ALL
    (SELECT 'call', p.model, sum(c.calls)::bigint, -sum(c.amount)::bigint
    FROM calls AS c JOIN ledger.price AS p ON p.id = c.price_id GROUP BY p.model ORDER BY p.model)
    UNION ALL
    SELECT 'closing', '', 0::bigint, coalesce(sum(m.amount), 0)::bigint FROM moves AS m
$$;

-- Organisations that moved money or called in a period, a page of them by reference: whose statements are due.
CREATE FUNCTION ledger.statements_due(p_from timestamptz, p_until timestamptz, p_origin text, p_limit integer)
    RETURNS TABLE (organisation_ref uuid, scope text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT DISTINCT t.organisation_ref, t.scope FROM ledger.transfer AS t
    WHERE t.at >= p_from AND t.at < p_until AND t.organisation_ref IS NOT NULL AND t.scope IS NOT NULL
        AND ledger.billing_subject(t.organisation_ref) IS NOT NULL AND NOT ledger.is_erased(t.organisation_ref)
        AND NOT EXISTS (SELECT FROM ledger.document AS d WHERE d.origin
            = format('%s:%s:%s', p_origin, t.scope, replace(t.organisation_ref::text, '-', '')))
    ORDER BY 1, 2 LIMIT p_limit
$$;

-- Proofs of documents, as those of the ledger: what is wrong, of how many, with up to five names.
CREATE FUNCTION ledger.document_proofs() RETURNS TABLE (name text, value bigint, examined bigint, sample text[])
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    WITH found AS (
        SELECT 'I40 document numbers have no gap' AS name, s.series || '-' || s.year AS id,
            s.last <> count(d.id) OR s.last <> coalesce(max(d.number), 0) AS bad
        FROM ledger.document_series AS s LEFT JOIN ledger.document AS d ON (d.series, d.year) = (s.series, s.year)
        WHERE ruxa.now() < ledger.kept_until(make_date(s.year, 12, 31))
        GROUP BY s.series, s.year
        UNION ALL
        SELECT 'I41 documents say what was issued', d.name,
            d.sha256 <> ledger.document_hash(d,
                (SELECT string_agg(concat_ws('|', l.kind, l.label, l.quantity, l.amount_micros), E'\n' ORDER BY l.ord)
                    FROM ledger.document_line AS l WHERE l.document_id = d.id),
                (SELECT string_agg(concat_ws('|', t.jurisdiction, t.name, t.rate, t.net_micros, t.tax_micros, t.note),
                    E'\n' ORDER BY t.ord) FROM ledger.document_tax AS t WHERE t.document_id = d.id))
        FROM ledger.document AS d
        UNION ALL
        SELECT 'I42 no more is credited than was invoiced', d.name,
            sum(c.gross_micros) > d.gross_micros OR sum(c.tax_micros) > d.tax_micros
        FROM ledger.document AS d JOIN ledger.document AS c ON c.corrects_id = d.id GROUP BY d.id
        UNION ALL
        SELECT 'I43 every payment and refund has its document', f.id::text, ledger.undocumented(f)
        FROM payment.fact AS f
        WHERE f.changed_at < ruxa.now() - interval '1 hour' AND f.amount_minor > 0 AND f.order_id IS NOT NULL
            -- Of a payment that went on into a later year, the first document is gone by now.
            AND ruxa.now() < ledger.kept_until((f.noted_at AT TIME ZONE 'UTC')::date)
            AND f.kind IN ('capture', 'refund', 'dispute')
            AND ledger.billing_subject(f.organisation_ref) IS NOT NULL AND NOT ledger.is_erased(f.organisation_ref)
    ), known (name) AS (
        VALUES ('I40 document numbers have no gap'), ('I41 documents say what was issued'),
            ('I42 no more is credited than was invoiced'), ('I43 every payment and refund has its document')
    )
    SELECT k.name, count(f.id) FILTER (WHERE f.bad), count(f.id),
        coalesce((array_agg(f.id) FILTER (WHERE f.bad))[1:5], '{}')
    FROM known AS k LEFT JOIN found AS f ON f.name = k.name
    GROUP BY k.name
$$;

-- The data map (D37). Whom a document is for is sealed; what the law wants of it is in clear.

COMMENT ON COLUMN ledger.billing_profile.id IS 'data: none';
COMMENT ON COLUMN ledger.billing_profile.organisation_ref IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing basis=contract keep=account
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.billing_profile.profile_sealed IS
    'data: category=user.contact.organization,user.name,user.contact.address,user.government_id subject=organisation
     purpose=billing basis=contract keep=account seal=subject erase=shred export=yes';
COMMENT ON COLUMN ledger.billing_profile.changed_at IS 'data: none';
COMMENT ON COLUMN ledger.document_series.series IS 'data: none';
COMMENT ON COLUMN ledger.document_series.year IS 'data: none';
COMMENT ON COLUMN ledger.document_series.last IS 'data: none';
COMMENT ON COLUMN ledger.document.id IS 'data: none';
COMMENT ON COLUMN ledger.document.kind IS
    'data: category=user.behavior.purchase_history subject=organisation purpose=billing,legal
     basis=contract,legal_obligation keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.document.series IS 'data: none';
COMMENT ON COLUMN ledger.document.year IS 'data: none';
COMMENT ON COLUMN ledger.document.number IS 'data: none';
COMMENT ON COLUMN ledger.document.name IS
    'data: category=user.behavior.purchase_history subject=organisation purpose=billing,legal
     basis=contract,legal_obligation keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.document.organisation_ref IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing,legal
     basis=contract,legal_obligation keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.document.scope IS 'data: none';
COMMENT ON COLUMN ledger.document.origin IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing,legal
     basis=contract,legal_obligation keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.document.corrects_id IS 'data: none';
COMMENT ON COLUMN ledger.document.order_id IS 'data: none';
COMMENT ON COLUMN ledger.document.fact_id IS 'data: none';
COMMENT ON COLUMN ledger.document.reference IS
    'data: category=user.behavior.purchase_history subject=organisation purpose=billing,legal
     basis=contract,legal_obligation keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.document.processor IS
    'data: category=user.payment subject=organisation purpose=billing,legal basis=contract,legal_obligation
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.document.method IS
    'data: category=user.payment subject=organisation purpose=billing,legal basis=contract,legal_obligation
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.document.ext_id IS
    'data: category=user.payment subject=organisation purpose=billing,legal basis=contract,legal_obligation
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.document.currency IS 'data: none';
COMMENT ON COLUMN ledger.document.net_micros IS
    'data: category=user.payment subject=organisation purpose=billing,legal basis=contract,legal_obligation
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.document.tax_micros IS
    'data: category=user.payment subject=organisation purpose=billing,legal basis=contract,legal_obligation
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.document.gross_micros IS
    'data: category=user.payment subject=organisation purpose=billing,legal basis=contract,legal_obligation
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.document.supplied_on IS
    'data: category=user.behavior.purchase_history subject=organisation purpose=billing,legal
     basis=contract,legal_obligation keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.document.period_from IS
    'data: category=user.behavior.purchase_history subject=organisation purpose=billing,legal
     basis=contract,legal_obligation keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.document.period_until IS
    'data: category=user.behavior.purchase_history subject=organisation purpose=billing,legal
     basis=contract,legal_obligation keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.document.place_country IS
    'data: category=user.contact.address.country subject=organisation purpose=billing,legal
     basis=contract,legal_obligation keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.document.place_evidence IS 'data: none';
COMMENT ON COLUMN ledger.document.fiscal_year IS 'data: none';
COMMENT ON COLUMN ledger.document.language IS 'data: none';
COMMENT ON COLUMN ledger.document.seller IS 'data: none';
COMMENT ON COLUMN ledger.document.party_sealed IS
    'data: category=user.contact.organization,user.name,user.contact.address,user.government_id subject=organisation
     purpose=billing,legal basis=contract,legal_obligation keep=transactions seal=subject erase=shred export=yes';
COMMENT ON COLUMN ledger.document.issued_at IS
    'data: category=user.behavior.purchase_history subject=organisation purpose=billing,legal
     basis=contract,legal_obligation keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.document.sha256 IS
    'data: category=user.payment subject=organisation purpose=proof,billing basis=legal_obligation,contract
     keep=transactions seal=none erase=keep:tax export=no:derived';
COMMENT ON COLUMN ledger.document.pdf_sha256 IS
    'data: category=user.payment subject=organisation purpose=proof,billing basis=legal_obligation,contract
     keep=transactions seal=none erase=keep:tax export=no:derived';
COMMENT ON COLUMN ledger.document_line.document_id IS 'data: none';
COMMENT ON COLUMN ledger.document_line.ord IS 'data: none';
COMMENT ON COLUMN ledger.document_line.organisation_ref IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing,legal
     basis=contract,legal_obligation keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.document_line.kind IS
    'data: category=user.behavior.purchase_history subject=organisation purpose=billing,legal
     basis=contract,legal_obligation keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.document_line.label IS
    'data: category=user.behavior.purchase_history subject=organisation purpose=billing,legal
     basis=contract,legal_obligation keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.document_line.quantity IS
    'data: category=user.behavior.purchase_history subject=organisation purpose=billing,legal
     basis=contract,legal_obligation keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.document_line.amount_micros IS
    'data: category=user.payment subject=organisation purpose=billing,legal basis=contract,legal_obligation
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.document_tax.document_id IS 'data: none';
COMMENT ON COLUMN ledger.document_tax.ord IS 'data: none';
COMMENT ON COLUMN ledger.document_tax.organisation_ref IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing,legal
     basis=contract,legal_obligation keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.document_tax.jurisdiction IS
    'data: category=user.contact.address.country subject=organisation purpose=billing,legal
     basis=contract,legal_obligation keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.document_tax.name IS 'data: none';
COMMENT ON COLUMN ledger.document_tax.rate IS 'data: none';
COMMENT ON COLUMN ledger.document_tax.net_micros IS
    'data: category=user.payment subject=organisation purpose=billing,legal basis=contract,legal_obligation
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.document_tax.tax_micros IS
    'data: category=user.payment subject=organisation purpose=billing,legal basis=contract,legal_obligation
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.document_tax.note IS 'data: none';

-- Who may do what. After the erasure of an organisation only the tax login sees its documents.

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['document', 'document_line', 'document_tax'] LOOP
        EXECUTE format('ALTER TABLE ledger.%I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY serving ON ledger.%I FOR SELECT TO ruxa_console, ruxa_worker, ruxa_operator,'
            ' ruxa_export'
            ' USING (NOT ledger.is_erased(organisation_ref))', t);
        EXECUTE format('CREATE POLICY kept ON ledger.%I FOR SELECT TO ruxa_tax USING (true)', t);
    END LOOP;
END $$;

REVOKE ALL ON FUNCTION
    ledger.is_erased(uuid), ledger.billing_subject(uuid), ledger.profile_put(uuid, uuid, bytea),
    ledger.profile_drop(uuid), ledger.document_guard(), ledger.document_part_guard(), ledger.document_series_guard(),
    ledger.document_series_used(), ledger.document_hash(ledger.document, text, text),
    ledger.undocumented(payment.fact), ledger.document_issue(jsonb, bytea, jsonb, jsonb),
    ledger.document_printed(uuid, bytea), ledger.documents_due(timestamptz, integer),
    ledger.documents_end(integer), ledger.documents_over(),
    ledger.statement_of(uuid, text, timestamptz, timestamptz),
    ledger.statements_due(timestamptz, timestamptz, text, integer), ledger.document_proofs()
    FROM PUBLIC;
GRANT SELECT ON ledger.document, ledger.document_line, ledger.document_tax
    TO ruxa_console, ruxa_worker, ruxa_operator, ruxa_tax;
GRANT SELECT ON ledger.billing_profile TO ruxa_console, ruxa_worker, ruxa_operator;
GRANT EXECUTE ON FUNCTION ledger.is_erased(uuid) TO ruxa_console, ruxa_worker, ruxa_operator, ruxa_tax;
GRANT EXECUTE ON FUNCTION
    ledger.billing_subject(uuid), ledger.profile_put(uuid, uuid, bytea), ledger.profile_drop(uuid),
    ledger.document_issue(jsonb, bytea, jsonb, jsonb), ledger.document_printed(uuid, bytea),
    ledger.statement_of(uuid, text, timestamptz, timestamptz), ledger.document_proofs()
    TO ruxa_console, ruxa_worker, ruxa_operator;
GRANT EXECUTE ON FUNCTION ledger.documents_due(timestamptz, integer), ledger.documents_end(integer),
    ledger.documents_over(),
    ledger.statements_due(timestamptz, timestamptz, text, integer)
    TO ruxa_worker, ruxa_operator;
-- The reader of restricted documents opens their names with the organisation's keys.
GRANT EXECUTE ON FUNCTION ledger.billing_subject(uuid) TO ruxa_tax;
