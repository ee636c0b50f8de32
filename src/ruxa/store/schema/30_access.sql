-- Who may do what: organisations, members, sessions, links, terms, keys, mail, throttles.
-- Names and addresses are sealed under the key of the person or organisation they belong to; secrets are hashes.
-- ids are UUIDv7 made by the caller; time is ruxa.now().

CREATE SCHEMA access;

-- An organisation: the customer. `organisation_ref` is what money and usage know it by.

CREATE TABLE access.organisation (
    id                    uuid PRIMARY KEY,
    organisation_ref      uuid NOT NULL UNIQUE,
    name_sealed           bytea,
    synthetic             boolean NOT NULL DEFAULT false,
    output_tokens_default integer NOT NULL DEFAULT 4096 CHECK (output_tokens_default BETWEEN 1 AND 10000000),
    limits                jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(limits) = 'object'),
    suspended_at          timestamptz,
    suspended_why         text CHECK (suspended_why IN ('abuse', 'payment', 'security', 'request', 'legal')),
    closed_at             timestamptz,
    erased_at             timestamptz,
    created_at            timestamptz NOT NULL DEFAULT ruxa.now(),
    CHECK ((suspended_at IS NULL) = (suspended_why IS NULL)),
    CONSTRAINT organisation_closed CHECK (closed_at IS NULL OR suspended_at IS NOT NULL),
    CHECK (erased_at IS NULL OR closed_at IS NOT NULL),
    CHECK (name_sealed IS NOT NULL OR closed_at IS NOT NULL)
);
COMMENT ON TABLE access.organisation IS
    'A customer; everything that is paid, made or kept belongs to one. Closed: to be erased; erased: only its reference
     is left, because the ledger''s records name it.';

-- A member: a person. One row per e-mail address.

CREATE TABLE access.member (
    id              uuid PRIMARY KEY,
    email_index     bytea NOT NULL CHECK (octet_length(email_index) = 32),
    email_sealed    bytea NOT NULL,
    name_sealed     bytea,
    password_hash   text CHECK (password_hash LIKE '$argon2id$%'),
    password_set_at timestamptz,
    locale          text NOT NULL DEFAULT 'en' CHECK (locale IN ('en', 'zh')),
    staff_role      text CHECK (staff_role IN ('operator', 'support', 'finance', 'security', 'dpo', 'auditor')),
    adult_at        timestamptz,
    verified_at     timestamptz,
    suspended_at    timestamptz,
    synthetic       boolean NOT NULL DEFAULT false,
    created_at      timestamptz NOT NULL DEFAULT ruxa.now(),
    CONSTRAINT member_email_unique UNIQUE (email_index),
    -- Nobody has a password without having said to be 18 or over.
    CONSTRAINT member_adult CHECK (password_hash IS NULL OR adult_at IS NOT NULL)
);
COMMENT ON TABLE access.member IS 'A person who signs in: sealed address and name, never plaintext.';

CREATE TABLE access.membership (
    organisation_id uuid NOT NULL REFERENCES access.organisation (id) ON DELETE CASCADE,
    member_id       uuid NOT NULL REFERENCES access.member (id) ON DELETE CASCADE,
    role            text NOT NULL CHECK (role IN ('owner', 'developer', 'billing', 'viewer')),
    accepted_at     timestamptz,
    limits          jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(limits) = 'object'),
    created_at      timestamptz NOT NULL DEFAULT ruxa.now(),
    PRIMARY KEY (organisation_id, member_id)
);
CREATE INDEX membership_member ON access.membership (member_id);
COMMENT ON TABLE access.membership IS
    'Which member has which role where; accepted_at is empty while an invitation is open; limits: of the keys it made.';

-- A session of a browser. The token's keyed hash is kept, the token is not.

CREATE TABLE access.session (
    id              uuid PRIMARY KEY,
    token_hash      bytea NOT NULL UNIQUE CHECK (octet_length(token_hash) = 32),
    member_id       uuid NOT NULL REFERENCES access.member (id) ON DELETE CASCADE,
    organisation_id uuid REFERENCES access.organisation (id) ON DELETE SET NULL,
    agent_sealed    bytea,
    proved_at       timestamptz NOT NULL DEFAULT ruxa.now(),
    seen_at         timestamptz NOT NULL DEFAULT ruxa.now(),
    idle_s          integer NOT NULL,
    ends_at         timestamptz NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT ruxa.now()
);
CREATE INDEX session_member ON access.session (member_id);
COMMENT ON TABLE access.session IS 'A signed-in browser; the row goes when the session does.';

CREATE TABLE access.one_time_link (
    hash            bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
    kind            text NOT NULL CHECK (kind IN ('verify', 'reset', 'invite', 'operator', 'sign_in')),
    member_id       uuid NOT NULL REFERENCES access.member (id) ON DELETE CASCADE,
    organisation_id uuid REFERENCES access.organisation (id) ON DELETE CASCADE,
    ticket_hash     bytea CHECK (octet_length(ticket_hash) = 32),
    expires_at      timestamptz NOT NULL,
    used_at         timestamptz,
    created_at      timestamptz NOT NULL DEFAULT ruxa.now(),
    CHECK ((kind = 'invite') = (organisation_id IS NOT NULL))
);
CREATE INDEX one_time_link_member ON access.one_time_link (member_id);
COMMENT ON TABLE access.one_time_link IS 'A link that works once, within 30 minutes; only its keyed hash is kept.';

-- What was agreed to: the texts that exist, and who accepted which.

CREATE TABLE access.terms_version (
    document     text NOT NULL CHECK (document IN ('terms', 'refunds', 'privacy')),
    version      date NOT NULL,
    locale       text NOT NULL CHECK (locale IN ('en', 'zh')),
    text_sha256  bytea NOT NULL CHECK (octet_length(text_sha256) = 32),
    published_at timestamptz NOT NULL DEFAULT ruxa.now(),
    PRIMARY KEY (document, version, locale)
);
COMMENT ON TABLE access.terms_version IS 'Every published text by its hash; a version never changes its text.';

CREATE TABLE access.terms_acceptance (
    member_id   uuid NOT NULL REFERENCES access.member (id) ON DELETE CASCADE,
    document    text NOT NULL,
    version     date NOT NULL,
    locale      text NOT NULL,
    text_sha256 bytea NOT NULL CHECK (octet_length(text_sha256) = 32),
    accepted_at timestamptz NOT NULL DEFAULT ruxa.now(),
    PRIMARY KEY (member_id, document, version),
    FOREIGN KEY (document, version, locale) REFERENCES access.terms_version (document, version, locale)
);
COMMENT ON TABLE access.terms_acceptance IS 'Who accepted which text, in which language, when.';

-- An API key, and its live secrets (two at most, while one replaces the other).

CREATE TABLE access.key (
    id                  uuid PRIMARY KEY,
    organisation_id     uuid NOT NULL REFERENCES access.organisation (id) ON DELETE CASCADE,
    kind                text NOT NULL DEFAULT 'api' CHECK (kind IN ('api', 'playground')),
    created_by          uuid REFERENCES access.member (id) ON DELETE SET NULL,
    session_id          uuid REFERENCES access.session (id) ON DELETE SET NULL,
    name_sealed         bytea NOT NULL,
    livemode            boolean NOT NULL,
    scopes              text[] NOT NULL CHECK (
        cardinality(scopes) > 0
        AND scopes <@ ARRAY[
            'chat', 'embeddings', 'images', 'audio', 'tasks', 'files', 'usage:read', 'content:read', 'billing:read',
            'admin:*'
        ]
    ),
    models              text[],
    requests_per_minute bigint CHECK (requests_per_minute > 0),
    tokens_per_minute   bigint CHECK (tokens_per_minute > 0),
    concurrency         bigint CHECK (concurrency > 0),
    store_days          integer NOT NULL DEFAULT 0 CHECK (store_days BETWEEN 0 AND 23),
    budget_micros       bigint CHECK (budget_micros > 0),
    budget_period       text CHECK (budget_period IN ('day', 'month', 'total')),
    conditions          text[] NOT NULL DEFAULT '{}' CHECK (cardinality(conditions) <= 16),
    guard               text[] NOT NULL DEFAULT '{}' CHECK (cardinality(guard) <= 16),
    habits              jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(habits) = 'object'),
    expires_at          timestamptz,
    revoked_at          timestamptz,
    last_used_day       date,
    created_at          timestamptz NOT NULL DEFAULT ruxa.now(),
    CHECK ((budget_micros IS NULL) = (budget_period IS NULL)),
    -- A playground key is made in a session and always ends; when the session ends, so does it.
    CHECK (CASE kind WHEN 'playground' THEN expires_at IS NOT NULL AND (session_id IS NOT NULL OR revoked_at IS NOT NULL)
           ELSE session_id IS NULL END)
);
CREATE INDEX key_organisation ON access.key (organisation_id, id);
CREATE INDEX key_session ON access.key (session_id) WHERE session_id IS NOT NULL;
COMMENT ON TABLE access.key IS 'An API key: what it may do and within which limits.';

CREATE TABLE access.key_secret (
    hash       bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
    key_id     uuid NOT NULL REFERENCES access.key (id) ON DELETE CASCADE,
    prefix     text NOT NULL CHECK (length(prefix) <= 16),
    expires_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT ruxa.now()
);
CREATE INDEX key_secret_key ON access.key_secret (key_id);
COMMENT ON TABLE access.key_secret IS 'A live secret of a key, as keyed hash; ended ones are deleted.';

-- An organisation's own key for a provider, sealed; calls that go there are made with it. Another one is another row.

CREATE TABLE access.provider_key (
    id              uuid PRIMARY KEY,
    organisation_id uuid NOT NULL REFERENCES access.organisation (id) ON DELETE CASCADE,
    provider        text NOT NULL CHECK (length(provider) BETWEEN 1 AND 80),
    secret_sealed   bytea NOT NULL,
    ending          text NOT NULL CHECK (length(ending) <= 4),
    house_stands_in boolean NOT NULL,
    created_by      uuid REFERENCES access.member (id) ON DELETE SET NULL,
    created_at      timestamptz NOT NULL DEFAULT ruxa.now(),
    CONSTRAINT provider_key_once UNIQUE (organisation_id, provider)
);
COMMENT ON TABLE access.provider_key IS
    'A customer''s own key at a provider, sealed under the organisation''s key; the house''s stands in only where it says so.';

-- What gateways must forget. `xact` orders by transaction, so that a late commit is never skipped.

CREATE TABLE access.key_change (
    xact   bigint NOT NULL DEFAULT pg_current_xact_id()::text::bigint,
    key_id uuid NOT NULL,
    at     timestamptz NOT NULL DEFAULT ruxa.now(),
    PRIMARY KEY (xact, key_id)
);
COMMENT ON TABLE access.key_change IS 'Keys whose grants are stale; one row per key and transaction, kept a day.';

-- The outbox: what is to be sent, sealed; the body dies when it was sent, after 7 days at the latest.

CREATE TABLE access.mail (
    id               uuid PRIMARY KEY,
    member_id        uuid NOT NULL REFERENCES access.member (id) ON DELETE CASCADE,
    template         text NOT NULL CHECK (template ~ '^[a-z_]{1,40}$'),
    locale           text NOT NULL CHECK (locale IN ('en', 'zh')),
    recipient_sealed bytea,
    variables_sealed bytea,
    organisation_id     uuid REFERENCES access.organisation (id) ON DELETE CASCADE,
    organisation_sealed bytea,
    state            text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'failed')),
    attempts         integer NOT NULL DEFAULT 0,
    next_at          timestamptz NOT NULL DEFAULT ruxa.now(),
    sent_at          timestamptz,
    fault            text CHECK (fault ~ '^[a-z0-9_]{1,40}$'),
    created_at       timestamptz NOT NULL DEFAULT ruxa.now(),
    CHECK ((state = 'sent') = (sent_at IS NOT NULL)),
    CHECK (organisation_sealed IS NULL OR organisation_id IS NOT NULL)
);
CREATE INDEX mail_organisation ON access.mail (organisation_id) WHERE organisation_id IS NOT NULL;
CREATE INDEX mail_waiting ON access.mail (next_at) WHERE state = 'waiting';
CREATE INDEX mail_member ON access.mail (member_id);
COMMENT ON TABLE access.mail IS
    'A mail of the outbox: template and state in clear, recipient and variables sealed, an organisation''s name in it
     under that organisation''s own key.';

-- Attempts counted per account and per address block, both as keyed hashes of the day; no write-ahead log, no backup.

CREATE UNLOGGED TABLE access.throttle (
    mark          bytea PRIMARY KEY CHECK (octet_length(mark) = 32),
    attempts      integer NOT NULL DEFAULT 1,
    refused       boolean NOT NULL DEFAULT false,
    blocked_until timestamptz,
    touched_at    timestamptz NOT NULL DEFAULT ruxa.now()
);
COMMENT ON TABLE access.throttle IS 'Recent attempts by keyed hash of what is protected; rows live a day.';

-- A change of a key, of one of its secrets or of its organisation reaches every gateway: at once by NOTIFY, within two
-- seconds by the poll of access.key_changes. Triggers, so that no way of changing can forget it.

CREATE FUNCTION access.tell_key_change() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    changed uuid;
BEGIN
    FOR changed IN
        SELECT k.id FROM access.key k
        WHERE TG_TABLE_NAME = 'organisation' AND k.organisation_id = OLD.id AND k.revoked_at IS NULL
        UNION ALL
        SELECT OLD.id WHERE TG_TABLE_NAME = 'key'
    LOOP
        INSERT INTO access.key_change (key_id) VALUES (changed) ON CONFLICT DO NOTHING;
        PERFORM pg_notify('key_revoked', replace(changed::text, '-', ''));
    END LOOP;
    RETURN NULL;
END $$;

-- A member's limits bind the keys that the member made.
CREATE FUNCTION access.tell_member_change() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    changed uuid;
BEGIN
    FOR changed IN
        SELECT k.id FROM access.key k
        WHERE k.organisation_id = OLD.organisation_id AND k.created_by = OLD.member_id AND k.revoked_at IS NULL
    LOOP
        INSERT INTO access.key_change (key_id) VALUES (changed) ON CONFLICT DO NOTHING;
        PERFORM pg_notify('key_revoked', replace(changed::text, '-', ''));
    END LOOP;
    RETURN NULL;
END $$;

CREATE FUNCTION access.tell_secret_change() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO access.key_change (key_id) VALUES (OLD.key_id) ON CONFLICT DO NOTHING;
    PERFORM pg_notify('key_revoked', replace(OLD.key_id::text, '-', ''));
    RETURN NULL;
END $$;

-- The same for what the ledger says of an organisation: its plan.
CREATE FUNCTION access.tell_organisation(p_organisation_ref uuid) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    changed uuid;
BEGIN
    FOR changed IN
        SELECT k.id FROM access.key k JOIN access.organisation o ON o.id = k.organisation_id
        WHERE o.organisation_ref = p_organisation_ref AND k.revoked_at IS NULL
    LOOP
        INSERT INTO access.key_change (key_id) VALUES (changed) ON CONFLICT DO NOTHING;
        PERFORM pg_notify('key_revoked', replace(changed::text, '-', ''));
    END LOOP;
END $$;
REVOKE ALL ON FUNCTION access.tell_organisation(uuid) FROM PUBLIC;

-- Every key of an organisation whose own provider keys changed.
CREATE FUNCTION access.tell_provider_key_change() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM access.tell_organisation(o.organisation_ref) FROM access.organisation o
        WHERE o.id = coalesce(NEW.organisation_id, OLD.organisation_id);
    RETURN NULL;
END $$;

CREATE FUNCTION access.end_playground() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE access.key SET revoked_at = coalesce(revoked_at, ruxa.now()) WHERE session_id = OLD.id;
    RETURN OLD;
END $$;
CREATE TRIGGER session_ended BEFORE DELETE ON access.session
    FOR EACH ROW EXECUTE FUNCTION access.end_playground();

CREATE TRIGGER key_updated
    AFTER UPDATE OF scopes, models, requests_per_minute, tokens_per_minute, concurrency, store_days, budget_micros,
        budget_period, conditions, guard, habits, expires_at, revoked_at, livemode, organisation_id ON access.key
    FOR EACH ROW EXECUTE FUNCTION access.tell_key_change();
CREATE TRIGGER key_deleted AFTER DELETE ON access.key
    FOR EACH ROW EXECUTE FUNCTION access.tell_key_change();
CREATE TRIGGER provider_key_changed AFTER INSERT OR UPDATE OR DELETE ON access.provider_key
    FOR EACH ROW EXECUTE FUNCTION access.tell_provider_key_change();
CREATE TRIGGER organisation_updated
    AFTER UPDATE OF suspended_at, output_tokens_default, limits ON access.organisation
    FOR EACH ROW EXECUTE FUNCTION access.tell_key_change();
CREATE TRIGGER membership_updated AFTER UPDATE OF limits ON access.membership
    FOR EACH ROW EXECUTE FUNCTION access.tell_member_change();
CREATE TRIGGER secret_changed AFTER UPDATE OF expires_at, hash, key_id OR DELETE ON access.key_secret
    FOR EACH ROW EXECUTE FUNCTION access.tell_secret_change();

-- What the gateway may ask; it reads no table of this schema.

CREATE FUNCTION access.grant_of(secret_hash bytea)
    RETURNS TABLE (
        key_id uuid, organisation_id uuid, organisation_ref uuid, livemode boolean, scopes text[], models text[],
        requests_per_minute bigint, tokens_per_minute bigint, concurrency bigint, store_days integer,
        budgeted boolean, expires_at_ms bigint, output_tokens_default integer, conditions text[],
        guard text[], member_ref uuid, member_limits jsonb, organisation_limits jsonb, habits jsonb
    )
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT k.id, o.id, o.organisation_ref, k.livemode, k.scopes, k.models, k.requests_per_minute, k.tokens_per_minute,
           k.concurrency, k.store_days, k.budget_micros IS NOT NULL,
           floor(extract(epoch FROM least(k.expires_at, s.expires_at)) * 1000)::bigint,
           o.output_tokens_default, k.conditions, k.guard, md5(ms.organisation_id::text || ms.member_id::text)::uuid,
           ms.limits, o.limits, k.habits
    FROM access.key_secret s
    JOIN access.key k ON k.id = s.key_id
    JOIN access.organisation o ON o.id = k.organisation_id
    LEFT JOIN access.membership ms
        ON ms.organisation_id = k.organisation_id AND ms.member_id = k.created_by AND ms.limits <> '{}'
    WHERE s.hash = secret_hash
      AND k.revoked_at IS NULL
      AND o.suspended_at IS NULL
      AND (s.expires_at IS NULL OR s.expires_at > ruxa.now())
      AND (k.expires_at IS NULL OR k.expires_at > ruxa.now())
$$;

-- The same of a key that is known by its id: for calls that are made later in its name.
CREATE FUNCTION access.grant_of_key(p_key uuid)
    RETURNS TABLE (
        key_id uuid, organisation_id uuid, organisation_ref uuid, livemode boolean, scopes text[], models text[],
        requests_per_minute bigint, tokens_per_minute bigint, concurrency bigint, store_days integer,
        budgeted boolean, expires_at_ms bigint, output_tokens_default integer, conditions text[],
        guard text[], member_ref uuid, member_limits jsonb, organisation_limits jsonb, habits jsonb
    )
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT k.id, o.id, o.organisation_ref, k.livemode, k.scopes, k.models, k.requests_per_minute, k.tokens_per_minute,
           k.concurrency, k.store_days, k.budget_micros IS NOT NULL,
           floor(extract(epoch FROM k.expires_at) * 1000)::bigint, o.output_tokens_default, k.conditions,
           k.guard, md5(ms.organisation_id::text || ms.member_id::text)::uuid,
           ms.limits, o.limits, k.habits
    FROM access.key k
    JOIN access.organisation o ON o.id = k.organisation_id
    LEFT JOIN access.membership ms
        ON ms.organisation_id = k.organisation_id AND ms.member_id = k.created_by AND ms.limits <> '{}'
    WHERE k.id = p_key
      AND k.revoked_at IS NULL
      AND o.suspended_at IS NULL
      AND (k.expires_at IS NULL OR k.expires_at > ruxa.now())
$$;

-- The own provider keys of an organisation, sealed as they are.
CREATE FUNCTION access.provider_keys_of(p_organisation uuid)
    RETURNS TABLE (id uuid, provider text, secret_sealed bytea, ending text, house_stands_in boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT p.id, p.provider, p.secret_sealed, p.ending, p.house_stands_in FROM access.provider_key p
    WHERE p.organisation_id = p_organisation ORDER BY p.provider
$$;

CREATE FUNCTION access.key_changes(since bigint)
    RETURNS TABLE (next bigint, key_ids uuid[])
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint,
           ARRAY(SELECT DISTINCT c.key_id FROM access.key_change c WHERE c.xact >= since)
$$;

CREATE FUNCTION access.mark_keys_used(used uuid[])
    RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    UPDATE access.key SET last_used_day = (ruxa.now() AT TIME ZONE 'UTC')::date
    WHERE id = ANY (used) AND last_used_day IS DISTINCT FROM (ruxa.now() AT TIME ZONE 'UTC')::date
$$;

-- Who gets the log's checkpoint every day: the owners of living organisations, data protection officers, operators. The
-- worker reads no other address.

CREATE FUNCTION access.checkpoint_readers(p_after uuid, p_limit integer)
    RETURNS TABLE (member_id uuid, locale text, email_sealed bytea)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT m.id, m.locale, m.email_sealed FROM access.member m
    WHERE m.id > p_after AND m.verified_at IS NOT NULL AND m.suspended_at IS NULL AND NOT m.synthetic
      AND (m.staff_role IN ('operator', 'dpo') OR EXISTS (
          SELECT FROM access.membership s JOIN access.organisation o ON o.id = s.organisation_id
          WHERE s.member_id = m.id AND s.role = 'owner' AND s.accepted_at IS NOT NULL AND o.closed_at IS NULL))
    ORDER BY m.id LIMIT p_limit
$$;

-- Who is told about an organisation's money: its owners and who does its billing. The worker reads no other address.

CREATE FUNCTION access.payers(p_organisation_ref uuid)
    RETURNS TABLE (member_id uuid, locale text, email_sealed bytea, name_sealed bytea, organisation_id uuid,
        organisation_sealed bytea)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT m.id, m.locale, m.email_sealed, m.name_sealed, o.id, o.name_sealed
    FROM access.organisation o
        JOIN access.membership s ON s.organisation_id = o.id
        JOIN access.member m ON m.id = s.member_id
    WHERE o.organisation_ref = p_organisation_ref AND o.closed_at IS NULL AND s.role IN ('owner', 'billing')
      AND s.accepted_at IS NOT NULL AND m.verified_at IS NOT NULL AND m.suspended_at IS NULL
    ORDER BY m.id LIMIT 50
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA access FROM PUBLIC;

-- Ciphertext and hashes have no statistics worth keeping (they would be one more copy).

ALTER TABLE access.organisation ALTER COLUMN name_sealed SET STATISTICS 0;
ALTER TABLE access.member ALTER COLUMN email_index SET STATISTICS 0;
ALTER TABLE access.member ALTER COLUMN email_sealed SET STATISTICS 0;
ALTER TABLE access.member ALTER COLUMN name_sealed SET STATISTICS 0;
ALTER TABLE access.member ALTER COLUMN password_hash SET STATISTICS 0;
ALTER TABLE access.session ALTER COLUMN token_hash SET STATISTICS 0;
ALTER TABLE access.session ALTER COLUMN agent_sealed SET STATISTICS 0;
ALTER TABLE access.one_time_link ALTER COLUMN hash SET STATISTICS 0;
ALTER TABLE access.one_time_link ALTER COLUMN ticket_hash SET STATISTICS 0;
ALTER TABLE access.key ALTER COLUMN name_sealed SET STATISTICS 0;
ALTER TABLE access.key_secret ALTER COLUMN hash SET STATISTICS 0;
ALTER TABLE access.mail ALTER COLUMN recipient_sealed SET STATISTICS 0;
ALTER TABLE access.mail ALTER COLUMN variables_sealed SET STATISTICS 0;
ALTER TABLE access.mail ALTER COLUMN organisation_sealed SET STATISTICS 0;
ALTER TABLE access.throttle ALTER COLUMN mark SET STATISTICS 0;

-- What each column holds about whom (grammar: kernel/datamap.py).

COMMENT ON COLUMN access.organisation.id IS 'data: none';
COMMENT ON COLUMN access.organisation.organisation_ref IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing,provide basis=contract
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN access.organisation.name_sealed IS
    'data: category=user.contact.organization subject=organisation purpose=provide,billing,support
     basis=contract keep=account seal=subject erase=shred export=yes';
COMMENT ON COLUMN access.organisation.synthetic IS 'data: none';
COMMENT ON COLUMN access.organisation.output_tokens_default IS 'data: none';
COMMENT ON COLUMN access.organisation.limits IS 'data: none';
COMMENT ON COLUMN access.organisation.suspended_at IS 'data: none';
COMMENT ON COLUMN access.organisation.suspended_why IS 'data: none';
COMMENT ON COLUMN access.organisation.closed_at IS 'data: none';
COMMENT ON COLUMN access.organisation.erased_at IS 'data: none';
COMMENT ON COLUMN access.organisation.created_at IS 'data: none';

COMMENT ON COLUMN access.member.id IS
    'data: category=user.unique_id subject=member purpose=provide,security,support
     basis=contract,legitimate_interest,contract keep=account seal=none erase=delete export=yes';
COMMENT ON COLUMN access.member.email_index IS
    'data: category=user.contact.email subject=member purpose=provide,security,support
     basis=contract,legitimate_interest,contract keep=account seal=blind erase=delete export=no:derived';
COMMENT ON COLUMN access.member.email_sealed IS
    'data: category=user.contact.email subject=member purpose=provide,security,communicate,support
     basis=contract,legitimate_interest,contract,contract keep=account seal=subject erase=shred export=yes';
COMMENT ON COLUMN access.member.name_sealed IS
    'data: category=user.name subject=member purpose=provide,communicate,support basis=contract keep=account
     seal=subject erase=shred export=yes';
COMMENT ON COLUMN access.member.password_hash IS
    'data: category=user.authorization.password subject=member purpose=security basis=contract keep=account
     seal=hash erase=delete export=no:secret';
COMMENT ON COLUMN access.member.password_set_at IS
    'data: category=user.account subject=member purpose=security basis=contract keep=account seal=none
     erase=delete export=yes';
COMMENT ON COLUMN access.member.locale IS
    'data: category=user.demographic.language subject=member purpose=provide,communicate,support basis=contract
     keep=account seal=none erase=delete export=yes';
COMMENT ON COLUMN access.member.staff_role IS
    'data: category=user.account.settings subject=staff purpose=security basis=contract keep=account seal=none
     erase=delete export=yes';
COMMENT ON COLUMN access.member.adult_at IS
    'data: category=user.demographic.age_range subject=member purpose=legal basis=legal_obligation keep=account
     seal=none erase=delete export=yes';
COMMENT ON COLUMN access.member.verified_at IS
    'data: category=user.account subject=member purpose=provide,security basis=contract keep=sign_up seal=none
     erase=delete export=yes';
COMMENT ON COLUMN access.member.suspended_at IS
    'data: category=user.account subject=member purpose=security basis=legitimate_interest keep=account
     seal=none erase=delete export=yes';
COMMENT ON COLUMN access.member.synthetic IS 'data: none';
COMMENT ON COLUMN access.member.created_at IS
    'data: category=user.account subject=member purpose=provide basis=contract keep=account seal=none
     erase=delete export=yes';

COMMENT ON COLUMN access.membership.organisation_id IS
    'data: category=user.workplace subject=member purpose=provide,support basis=contract keep=account seal=none
     erase=delete export=yes';
COMMENT ON COLUMN access.membership.member_id IS
    'data: category=user.unique_id subject=member purpose=provide,support basis=contract keep=account seal=none
     erase=delete export=yes';
COMMENT ON COLUMN access.membership.role IS
    'data: category=user.account.settings subject=member purpose=provide,support basis=contract keep=account seal=none
     erase=delete export=yes';
COMMENT ON COLUMN access.membership.limits IS
    'data: category=user.account.settings subject=member purpose=provide,support basis=contract keep=account seal=none
     erase=delete export=yes';
COMMENT ON COLUMN access.membership.accepted_at IS
    'data: category=user.account subject=member purpose=provide basis=contract keep=account seal=none
     erase=delete export=yes';
COMMENT ON COLUMN access.membership.created_at IS
    'data: category=user.account subject=member purpose=provide basis=contract keep=account seal=none
     erase=delete export=yes';

COMMENT ON COLUMN access.session.id IS
    'data: category=user.unique_id.pseudonymous subject=member purpose=provide,security basis=contract
     keep=session seal=none erase=delete export=yes';
COMMENT ON COLUMN access.session.token_hash IS
    'data: category=user.authorization.credentials subject=member purpose=provide,security basis=contract
     keep=session seal=hash erase=delete export=no:secret';
COMMENT ON COLUMN access.session.member_id IS
    'data: category=user.unique_id subject=member purpose=provide,security basis=contract keep=session
     seal=none erase=delete export=yes';
COMMENT ON COLUMN access.session.organisation_id IS
    'data: category=user.account.settings subject=member purpose=provide basis=contract keep=session seal=none
     erase=delete export=yes';
COMMENT ON COLUMN access.session.agent_sealed IS
    'data: category=user.device subject=member purpose=security basis=legitimate_interest keep=session
     seal=subject erase=shred export=yes';
COMMENT ON COLUMN access.session.proved_at IS
    'data: category=user.behavior subject=member purpose=security basis=contract keep=session seal=none
     erase=delete export=yes';
COMMENT ON COLUMN access.session.seen_at IS
    'data: category=user.behavior subject=member purpose=security basis=contract keep=session seal=none
     erase=delete export=yes';
COMMENT ON COLUMN access.session.idle_s IS 'data: none';
COMMENT ON COLUMN access.session.ends_at IS
    'data: category=user.behavior subject=member purpose=security basis=contract keep=session seal=none
     erase=delete export=yes';
COMMENT ON COLUMN access.session.created_at IS
    'data: category=user.behavior subject=member purpose=security basis=contract keep=session seal=none
     erase=delete export=yes';

COMMENT ON COLUMN access.one_time_link.hash IS
    'data: category=user.authorization.credentials subject=member purpose=security basis=contract keep=sign_up
     seal=hash erase=delete export=no:secret';
COMMENT ON COLUMN access.one_time_link.kind IS
    'data: category=user.account subject=member purpose=security basis=contract keep=sign_up seal=none
     erase=delete export=no:operational';
COMMENT ON COLUMN access.one_time_link.member_id IS
    'data: category=user.unique_id subject=member purpose=security basis=contract keep=sign_up seal=none
     erase=delete export=no:operational';
COMMENT ON COLUMN access.one_time_link.organisation_id IS
    'data: category=user.workplace subject=member purpose=provide basis=contract keep=sign_up seal=none
     erase=delete export=no:operational';
COMMENT ON COLUMN access.one_time_link.ticket_hash IS
    'data: category=user.authorization.credentials subject=member purpose=security basis=contract keep=sign_up
     seal=hash erase=delete export=no:secret';
COMMENT ON COLUMN access.one_time_link.expires_at IS 'data: none';
COMMENT ON COLUMN access.one_time_link.used_at IS
    'data: category=user.behavior subject=member purpose=security basis=contract keep=sign_up seal=none
     erase=delete export=no:operational';
COMMENT ON COLUMN access.one_time_link.created_at IS
    'data: category=user.behavior subject=member purpose=security basis=contract keep=sign_up seal=none
     erase=delete export=no:operational';

COMMENT ON COLUMN access.terms_version.document IS 'data: none';
COMMENT ON COLUMN access.terms_version.version IS 'data: none';
COMMENT ON COLUMN access.terms_version.locale IS 'data: none';
COMMENT ON COLUMN access.terms_version.text_sha256 IS 'data: none';
COMMENT ON COLUMN access.terms_version.published_at IS 'data: none';

COMMENT ON COLUMN access.terms_acceptance.member_id IS
    'data: category=user.unique_id subject=member purpose=legal,proof
     basis=legal_obligation,legitimate_interest keep=account seal=none erase=delete export=yes';
COMMENT ON COLUMN access.terms_acceptance.document IS
    'data: category=user.account subject=member purpose=legal,proof basis=legal_obligation,legitimate_interest
     keep=account seal=none erase=delete export=yes';
COMMENT ON COLUMN access.terms_acceptance.version IS
    'data: category=user.account subject=member purpose=legal,proof basis=legal_obligation,legitimate_interest
     keep=account seal=none erase=delete export=yes';
COMMENT ON COLUMN access.terms_acceptance.locale IS
    'data: category=user.demographic.language subject=member purpose=proof basis=legitimate_interest
     keep=account seal=none erase=delete export=yes';
COMMENT ON COLUMN access.terms_acceptance.text_sha256 IS 'data: none';
COMMENT ON COLUMN access.terms_acceptance.accepted_at IS
    'data: category=user.behavior subject=member purpose=legal,proof basis=legal_obligation,legitimate_interest
     keep=account seal=none erase=delete export=yes';

COMMENT ON COLUMN access.key.id IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=provide basis=contract
     keep=account seal=none erase=delete export=yes';
COMMENT ON COLUMN access.key.organisation_id IS 'data: none';
COMMENT ON COLUMN access.key.kind IS 'data: none';
COMMENT ON COLUMN access.key.created_by IS
    'data: category=user.unique_id subject=member purpose=provide,security basis=contract keep=account
     seal=none erase=null export=yes';
COMMENT ON COLUMN access.key.session_id IS
    'data: category=user.unique_id.pseudonymous subject=member purpose=provide basis=contract keep=session
     seal=none erase=null export=no:operational';
COMMENT ON COLUMN access.key.name_sealed IS
    'data: category=user.content.private subject=organisation purpose=provide basis=contract keep=account
     seal=subject erase=shred export=yes';
COMMENT ON COLUMN access.key.livemode IS 'data: none';
COMMENT ON COLUMN access.key.scopes IS 'data: none';
COMMENT ON COLUMN access.key.models IS 'data: none';
COMMENT ON COLUMN access.key.requests_per_minute IS 'data: none';
COMMENT ON COLUMN access.key.tokens_per_minute IS 'data: none';
COMMENT ON COLUMN access.key.concurrency IS 'data: none';
COMMENT ON COLUMN access.key.store_days IS 'data: none';
COMMENT ON COLUMN access.key.budget_micros IS 'data: none';
COMMENT ON COLUMN access.key.budget_period IS 'data: none';
COMMENT ON COLUMN access.key.conditions IS 'data: none';
COMMENT ON COLUMN access.key.guard IS 'data: none';
COMMENT ON COLUMN access.key.habits IS 'data: none';
COMMENT ON COLUMN access.key.expires_at IS 'data: none';
COMMENT ON COLUMN access.key.revoked_at IS 'data: none';
COMMENT ON COLUMN access.key.last_used_day IS
    'data: category=user.behavior subject=organisation purpose=security basis=contract keep=account seal=none
     erase=delete export=yes';
COMMENT ON COLUMN access.key.created_at IS 'data: none';

COMMENT ON COLUMN access.key_secret.hash IS
    'data: category=user.authorization.credentials subject=organisation purpose=provide,security basis=contract
     keep=account seal=hash erase=delete export=no:secret';
COMMENT ON COLUMN access.key_secret.key_id IS 'data: none';
COMMENT ON COLUMN access.key_secret.prefix IS
    'data: category=user.authorization.credentials subject=organisation purpose=provide,security basis=contract
     keep=account seal=none erase=delete export=yes';
COMMENT ON COLUMN access.key_secret.expires_at IS 'data: none';
COMMENT ON COLUMN access.key_secret.created_at IS 'data: none';

COMMENT ON COLUMN access.provider_key.id IS 'data: none';
COMMENT ON COLUMN access.provider_key.organisation_id IS 'data: none';
COMMENT ON COLUMN access.provider_key.provider IS
    'data: category=user.account.settings subject=organisation purpose=provide basis=contract
     keep=account seal=none erase=delete export=yes';
COMMENT ON COLUMN access.provider_key.secret_sealed IS
    'data: category=user.authorization.credentials subject=organisation purpose=provide basis=contract
     keep=account seal=subject erase=shred export=no:secret';
COMMENT ON COLUMN access.provider_key.ending IS
    'data: category=user.authorization.credentials subject=organisation purpose=provide,security basis=contract
     keep=account seal=none erase=delete export=yes';
COMMENT ON COLUMN access.provider_key.house_stands_in IS 'data: none';
COMMENT ON COLUMN access.provider_key.created_by IS
    'data: category=user.unique_id subject=member purpose=provide,security basis=contract keep=account
     seal=none erase=null export=yes';
COMMENT ON COLUMN access.provider_key.created_at IS 'data: none';

COMMENT ON COLUMN access.key_change.xact IS 'data: none';
COMMENT ON COLUMN access.key_change.key_id IS 'data: none';
COMMENT ON COLUMN access.key_change.at IS 'data: none';

COMMENT ON COLUMN access.mail.id IS 'data: none';
COMMENT ON COLUMN access.mail.member_id IS
    'data: category=user.unique_id subject=member purpose=communicate basis=contract keep=security seal=none
     erase=delete export=yes';
COMMENT ON COLUMN access.mail.template IS
    'data: category=user.account subject=member purpose=communicate basis=contract keep=security seal=none
     erase=delete export=yes';
COMMENT ON COLUMN access.mail.locale IS
    'data: category=user.demographic.language subject=member purpose=communicate basis=contract keep=security
     seal=none erase=delete export=yes';
COMMENT ON COLUMN access.mail.recipient_sealed IS
    'data: category=user.contact.email subject=member purpose=communicate basis=contract keep=outbox
     seal=subject erase=shred export=no:operational';
COMMENT ON COLUMN access.mail.variables_sealed IS
    'data: category=user.name,user.authorization.credentials subject=member purpose=communicate basis=contract
     keep=outbox seal=subject erase=shred export=no:operational';
COMMENT ON COLUMN access.mail.organisation_id IS 'data: none';
COMMENT ON COLUMN access.mail.organisation_sealed IS
    'data: category=user.contact.organization subject=organisation purpose=communicate basis=contract
     keep=outbox seal=subject erase=shred export=no:operational';
COMMENT ON COLUMN access.mail.state IS 'data: none';
COMMENT ON COLUMN access.mail.attempts IS 'data: none';
COMMENT ON COLUMN access.mail.next_at IS 'data: none';
COMMENT ON COLUMN access.mail.sent_at IS
    'data: category=user.account subject=member purpose=communicate,proof basis=contract keep=security
     seal=none erase=delete export=yes';
COMMENT ON COLUMN access.mail.fault IS 'data: none';
COMMENT ON COLUMN access.mail.created_at IS 'data: none';

COMMENT ON COLUMN access.throttle.mark IS
    'data: category=user.contact.email,user.device.ip_address subject=visitor purpose=security
     basis=legitimate_interest keep=security seal=hash erase=delete export=no:security';
COMMENT ON COLUMN access.throttle.attempts IS 'data: none';
COMMENT ON COLUMN access.throttle.refused IS 'data: none';
COMMENT ON COLUMN access.throttle.blocked_until IS 'data: none';
COMMENT ON COLUMN access.throttle.touched_at IS 'data: none';

-- Grants: each login has what its work needs. The gateway reads no table here; nobody but the console reads a
-- password's hash; the worker opens no name and no address but a waiting mail's; staff roles are the operator's to give.

GRANT USAGE ON SCHEMA access TO ruxa_gateway, ruxa_console, ruxa_worker, ruxa_operator;
GRANT EXECUTE ON FUNCTION access.grant_of(bytea), access.grant_of_key(uuid), access.key_changes(bigint),
    access.provider_keys_of(uuid), access.mark_keys_used(uuid[]) TO ruxa_gateway;
GRANT EXECUTE ON FUNCTION access.grant_of(bytea), access.provider_keys_of(uuid) TO ruxa_console; -- keys call /api/v1 too
GRANT SELECT, INSERT, DELETE ON access.provider_key TO ruxa_console, ruxa_operator;

GRANT SELECT, INSERT ON access.organisation, access.membership, access.one_time_link, access.terms_version,
    access.terms_acceptance, access.key, access.key_secret TO ruxa_console, ruxa_operator;
GRANT UPDATE (name_sealed, output_tokens_default, limits, suspended_at, suspended_why, closed_at) ON access.organisation
    TO ruxa_console, ruxa_operator;
GRANT UPDATE (role, accepted_at, limits), DELETE ON access.membership TO ruxa_console, ruxa_operator;
GRANT UPDATE (used_at), DELETE ON access.one_time_link TO ruxa_console, ruxa_operator;
GRANT UPDATE (revoked_at, name_sealed, scopes, models, requests_per_minute, tokens_per_minute, concurrency, store_days,
    budget_micros, budget_period, conditions, guard, habits, expires_at) ON access.key TO ruxa_console, ruxa_operator;
GRANT UPDATE (expires_at), DELETE ON access.key_secret TO ruxa_console, ruxa_operator;
GRANT INSERT ON access.mail TO ruxa_console, ruxa_operator;
GRANT SELECT, INSERT, UPDATE, DELETE ON access.throttle TO ruxa_console;

GRANT SELECT ON access.member TO ruxa_console;
GRANT INSERT (id, email_index, email_sealed, name_sealed, password_hash, password_set_at, locale, adult_at)
    ON access.member TO ruxa_console;
GRANT UPDATE (email_index, name_sealed, password_hash, password_set_at, locale, adult_at, verified_at, suspended_at)
    ON access.member TO ruxa_console;
GRANT SELECT, INSERT, DELETE ON access.session TO ruxa_console;
GRANT UPDATE (token_hash, organisation_id, proved_at, seen_at) ON access.session TO ruxa_console;
GRANT SELECT ON access.mail TO ruxa_console;

GRANT SELECT (id, email_index, email_sealed, name_sealed, password_set_at, locale, staff_role, adult_at, verified_at,
    suspended_at, synthetic, created_at) ON access.member TO ruxa_operator;
GRANT INSERT, UPDATE (email_index, name_sealed, locale, staff_role, verified_at, suspended_at)
    ON access.member TO ruxa_operator;
GRANT SELECT (id, member_id), DELETE ON access.session TO ruxa_operator;
GRANT UPDATE (synthetic) ON access.organisation TO ruxa_operator;

GRANT SELECT (id, organisation_ref, synthetic, output_tokens_default, suspended_at, created_at)
    ON access.organisation TO ruxa_worker;
GRANT SELECT (id, verified_at, created_at, synthetic), DELETE ON access.member TO ruxa_worker;
GRANT SELECT (id, seen_at, idle_s, ends_at), DELETE ON access.session TO ruxa_worker;
GRANT SELECT (member_id, used_at, expires_at, created_at), DELETE ON access.one_time_link TO ruxa_worker;
GRANT SELECT (id, organisation_id, kind, budget_micros, budget_period, expires_at, revoked_at), DELETE
    ON access.key TO ruxa_worker;
GRANT SELECT (key_id, expires_at), DELETE ON access.key_secret TO ruxa_worker;
GRANT SELECT (at), DELETE ON access.key_change TO ruxa_worker;
GRANT SELECT (touched_at), DELETE ON access.throttle TO ruxa_worker;
GRANT SELECT, INSERT, DELETE ON access.mail TO ruxa_worker;
GRANT EXECUTE ON FUNCTION access.checkpoint_readers(uuid, integer), access.payers(uuid) TO ruxa_worker;
GRANT UPDATE (recipient_sealed, variables_sealed, state, attempts, next_at, sent_at, fault) ON access.mail
    TO ruxa_worker;
