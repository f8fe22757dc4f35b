-- One schema for both engines. Times are Unix milliseconds, UTC. Hashes are SHA-256 of tokens (package token); no token is stored.
-- BLOB is written as the engine calls it, and WITHOUT ROWID is left out where there is none: see engine.go.

-- +goose Up
CREATE TABLE accounts (
    subject       TEXT PRIMARY KEY,           -- ours, opaque, stable
    id_type       TEXT NOT NULL,              -- RPPS, ADELI, or of a structure
    national_id   TEXT NOT NULL,
    given_name    TEXT NOT NULL,
    family_name   TEXT NOT NULL,
    title         TEXT NOT NULL,              -- the card's free label
    profession    TEXT NOT NULL,              -- code of table G15, or empty
    login_name    TEXT NOT NULL DEFAULT '' CHECK (login_name = lower(login_name)), -- by which the person may sign in; empty: none
    address       TEXT NOT NULL DEFAULT '',   -- ordinary e-mail, for codes and notices: empty until it was proved
    registered_at BIGINT,                     -- when the person had seen what is recorded; absent: not yet
    state         TEXT NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'disabled')),
    created_at    BIGINT NOT NULL,
    updated_at    BIGINT NOT NULL,
    UNIQUE (id_type, national_id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX accounts_login_name ON accounts (login_name) WHERE login_name <> '';

CREATE TABLE account_structures (
    subject      TEXT NOT NULL REFERENCES accounts (subject) ON DELETE CASCADE,
    structure_id TEXT NOT NULL,               -- with the digit of its type in front
    name         TEXT NOT NULL,
    PRIMARY KEY (subject, structure_id)
) WITHOUT ROWID;

CREATE TABLE account_mailboxes (
    subject  TEXT NOT NULL REFERENCES accounts (subject) ON DELETE CASCADE,
    address  TEXT NOT NULL,
    kind     TEXT NOT NULL CHECK (kind IN ('nominative', 'organisational')),
    position BIGINT NOT NULL,                 -- the first is the one that services are told
    PRIMARY KEY (subject, address)
) WITHOUT ROWID;
-- A person's own mailbox is nobody else's. ASCII, which both engines lower alike.
CREATE UNIQUE INDEX account_mailboxes_owner ON account_mailboxes (lower(address)) WHERE kind = 'nominative';

CREATE TABLE sessions (
    id          TEXT PRIMARY KEY,             -- names the session in audit and assertions; opens nothing
    subject     TEXT NOT NULL REFERENCES accounts (subject),
    method      TEXT NOT NULL,
    acr         TEXT NOT NULL,
    amr         TEXT NOT NULL,                -- words, separated by a space
    auth_at     BIGINT NOT NULL,
    fingerprint TEXT NOT NULL,                -- of the certificate, or empty
    card_type   TEXT NOT NULL,
    source      TEXT NOT NULL DEFAULT '',     -- network address of the login
    browser     TEXT NOT NULL DEFAULT '',     -- short name of the browser, for the person to recognise
    watch_hash  BLOB,                         -- token of the agent that reports the card's removal
    situation   TEXT NOT NULL DEFAULT '',     -- JSON: in which of several situations the person works; empty: not known
    created_at  BIGINT NOT NULL,
    seen_at     BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,              -- absolute
    ended_at    BIGINT,
    end_reason  TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE INDEX sessions_subject ON sessions (subject);
CREATE UNIQUE INDEX sessions_watch ON sessions (watch_hash) WHERE watch_hash IS NOT NULL;
CREATE INDEX sessions_expiry ON sessions (expires_at);
CREATE INDEX sessions_open ON sessions (expires_at) WHERE ended_at IS NULL;
CREATE INDEX sessions_ended ON sessions (ended_at) WHERE ended_at IS NOT NULL;

-- One session has one token for each host that the browser opened with it.
CREATE TABLE session_tokens (
    hash       BLOB PRIMARY KEY,
    session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    host       TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX session_tokens_session ON session_tokens (session_id);

-- Whom an identity of Pro Santé Connect is: its (iss, sub), beside the national identifier that opens the account.
CREATE TABLE psc_subjects (
    issuer  TEXT NOT NULL,
    sub     TEXT NOT NULL,
    subject TEXT NOT NULL REFERENCES accounts (subject) ON DELETE CASCADE,
    PRIMARY KEY (issuer, sub)
) WITHOUT ROWID;
CREATE INDEX psc_subjects_subject ON psc_subjects (subject);

-- What a session has at Pro Santé Connect, as long as it is open.
CREATE TABLE psc_sessions (
    session_id   TEXT PRIMARY KEY REFERENCES sessions (id) ON DELETE CASCADE,
    issuer       TEXT NOT NULL,
    sub          TEXT NOT NULL,
    sid          TEXT NOT NULL,               -- of the session there; may be empty
    tokens       TEXT NOT NULL,               -- sealed
    refreshed_at BIGINT NOT NULL,
    due_at       BIGINT NOT NULL,             -- when they are to be renewed, if the person has been active since refreshed_at
    lease_until  BIGINT NOT NULL DEFAULT 0    -- until then one gateway renews them, and no other
) WITHOUT ROWID;
CREATE INDEX psc_sessions_due ON psc_sessions (due_at);
CREATE INDEX psc_sessions_sid ON psc_sessions (sid);
CREATE INDEX psc_sessions_sub ON psc_sessions (sub);

-- Logout tokens that were taken, each once.
CREATE TABLE psc_logouts (
    issuer     TEXT NOT NULL,
    jti        TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (issuer, jti)
) WITHOUT ROWID;
CREATE INDEX psc_logouts_expiry ON psc_logouts (expires_at);

-- A one-time code that carries a session from the auth host to a service host.
CREATE TABLE entries (
    hash       BLOB PRIMARY KEY,
    session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    host       TEXT NOT NULL,
    state_hash BLOB NOT NULL,
    expires_at BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX entries_session ON entries (session_id);

-- A login in progress. It is born waiting; a card's is fetched by an agent, others advance from step to step; a proof settles it once, and
-- it is used once, by its code or by the browser that began it.
CREATE TABLE logins (
    handle_hash  BLOB PRIMARY KEY,
    browser_hash BLOB NOT NULL,
    method       TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    fetched_at   BIGINT,
    settled_at   BIGINT,
    code_hash    BLOB,
    watch_hash   BLOB,
    progress     TEXT NOT NULL DEFAULT '',    -- JSON, of the method: how far it is
    outcome      TEXT NOT NULL DEFAULT '',    -- JSON, of the method that settled it
    used_at      BIGINT
) WITHOUT ROWID;
CREATE INDEX logins_browser ON logins (browser_hash);
CREATE UNIQUE INDEX logins_code ON logins (code_hash) WHERE code_hash IS NOT NULL;
CREATE UNIQUE INDEX logins_watch ON logins (watch_hash) WHERE watch_hash IS NOT NULL;
CREATE INDEX logins_expiry ON logins (expires_at);

-- A code that was sent to an address: to prove the address, or as the second factor of a login. One for each account and purpose: a new
-- one takes the place of the old. What is used stays, so that nobody has many messages sent.
CREATE TABLE codes (
    purpose    TEXT NOT NULL CHECK (purpose IN ('address', 'login')),
    subject    TEXT NOT NULL REFERENCES accounts (subject) ON DELETE CASCADE,
    address    TEXT NOT NULL,
    code_mac   TEXT NOT NULL,                 -- keyed: a code has few values
    holder     TEXT NOT NULL,                 -- the session or login that asked for it, and alone may use it; empty: it was used
    tries      BIGINT NOT NULL,               -- left
    sent_at    BIGINT NOT NULL,               -- zero: it was not sent
    expires_at BIGINT NOT NULL,
    round_at   BIGINT NOT NULL,               -- since when messages are counted
    round      BIGINT NOT NULL,               -- how many there were since
    PRIMARY KEY (purpose, subject)
) WITHOUT ROWID;

-- A means of proof that a person has enrolled.
CREATE TABLE factors (
    id          TEXT PRIMARY KEY,
    subject     TEXT NOT NULL REFERENCES accounts (subject) ON DELETE CASCADE,
    kind        TEXT NOT NULL CHECK (kind IN ('password', 'totp', 'recovery', 'passkey', 'phone')),
    label       TEXT NOT NULL,                -- as the person calls it; may be empty
    acr         TEXT NOT NULL,                -- of a login with it, at most: that of the login that enrolled it
    secret      TEXT NOT NULL,                -- a password's hash, a sealed seed, a public key with what belongs to it
    external_id TEXT NOT NULL,                -- of a passkey, its credential id in base64url; empty: none
    counter     BIGINT NOT NULL,              -- of a seed the last time step used, of a passkey its last count
    created_at  BIGINT NOT NULL,
    used_at     BIGINT
) WITHOUT ROWID;
CREATE INDEX factors_subject ON factors (subject);
CREATE UNIQUE INDEX factors_single ON factors (subject, kind) WHERE kind IN ('password', 'recovery');
CREATE UNIQUE INDEX factors_external ON factors (external_id) WHERE external_id <> '';

-- The codes of a factor of kind recovery, each good once.
CREATE TABLE recovery_codes (
    factor_id TEXT NOT NULL REFERENCES factors (id) ON DELETE CASCADE,
    code_mac  TEXT NOT NULL,                  -- keyed, as that of codes
    used_at   BIGINT,
    PRIMARY KEY (factor_id, code_mac)
) WITHOUT ROWID;

-- An invitation to choose a password, for a person who has no other way in. Half of it is a link that was sent to their address, half a
-- code that somebody told them. One for each account: a new one takes the place of the old.
CREATE TABLE invitations (
    subject    TEXT PRIMARY KEY REFERENCES accounts (subject) ON DELETE CASCADE,
    token_hash BLOB NOT NULL UNIQUE,          -- of the link
    address    TEXT NOT NULL,                 -- where the link went
    code_mac   TEXT NOT NULL,                 -- keyed, as that of codes
    tries      BIGINT NOT NULL,               -- left
    expires_at BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX invitations_expiry ON invitations (expires_at);

-- Messages that wait to be sent: see package outbox. Recipient, kind and words are sealed with a key that is not in the database.
CREATE TABLE mail_queue (
    id         TEXT PRIMARY KEY,
    subject    TEXT NOT NULL REFERENCES accounts (subject) ON DELETE CASCADE,
    sealed     TEXT NOT NULL,
    tries      BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    next_at    BIGINT NOT NULL,               -- when it is due; of one that is being sent, when another gateway may take it over
    expires_at BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX mail_queue_subject ON mail_queue (subject);
CREATE INDEX mail_queue_next ON mail_queue (next_at);

-- Keys of the gateway's own, which all gateways of a database have in common: see package keyring.
CREATE TABLE keys (
    id         TEXT PRIMARY KEY,              -- of a key that signs, the thumbprint of RFC 7638
    alg        TEXT NOT NULL CHECK (alg IN ('ES256', 'RS256', 'cookie', 'pairwise')),
    sealed     TEXT NOT NULL,                 -- PKCS #8, or secret bytes
    created_at BIGINT NOT NULL,
    active_at  BIGINT NOT NULL,               -- since when it is used for what is new; shown before that
    expires_at BIGINT                         -- when nothing that it made is good any more; absent: no other has taken its place
) WITHOUT ROWID;
-- Of each kind one is the newest: of two that add the first, or replace it, one does.
CREATE UNIQUE INDEX keys_newest ON keys (alg) WHERE expires_at IS NULL;

-- Services that send their users here, as 'authgw client' keeps them: see package client. Those of the configuration are not here.
CREATE TABLE clients (
    id              TEXT PRIMARY KEY,
    settings        TEXT NOT NULL,            -- JSON
    secret_hash     BLOB,                     -- of its secret; absent: it proves itself otherwise, or not at all
    old_secret_hash BLOB,                     -- of the secret before, good until old_until
    old_until       BIGINT,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL
) WITHOUT ROWID;

-- What a client asks of a person: pushed by the client (RFC 9126), or brought by a browser, or both one after the other.
CREATE TABLE oidc_requests (
    hash         BLOB PRIMARY KEY,            -- of its handle
    client       TEXT NOT NULL,
    browser_hash BLOB,                        -- of the browser that brought it; absent: it was pushed, and nobody has
    body         TEXT NOT NULL,               -- JSON: see package oidc
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX oidc_requests_expiry ON oidc_requests (expires_at);

-- What a client was given in a session: a family of tokens, which begins with the use of a code, or of a device, and ends as a whole. They go
-- with their session, so that nothing has to find those that are late.
CREATE TABLE oidc_grants (
    id           TEXT PRIMARY KEY,            -- of a code, it follows from the code, which is used once so
    client       TEXT NOT NULL,
    session_id   TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    sid          TEXT NOT NULL,               -- the session, as the client knows it; stays when a login at a higher level takes the session's place
    body         TEXT NOT NULL,               -- JSON: see package oidc
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,             -- whatever of it is used
    ended_at     BIGINT
) WITHOUT ROWID;
CREATE INDEX oidc_grants_session ON oidc_grants (session_id);

-- The refresh tokens of grants, and the access tokens that were revoked: those that are good are not written.
CREATE TABLE oidc_tokens (
    hash       BLOB PRIMARY KEY,
    grant_id   TEXT NOT NULL REFERENCES oidc_grants (id) ON DELETE CASCADE,
    kind       TEXT NOT NULL CHECK (kind IN ('refresh', 'revoked')),
    scope      TEXT NOT NULL,                 -- words, separated by a space; never more than the grant's
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at    BIGINT,                        -- of a refresh token, when another took its place
    next_hash  BLOB                           -- that other
) WITHOUT ROWID;
CREATE INDEX oidc_tokens_grant ON oidc_tokens (grant_id);

-- A device without a browser, whose person signs in elsewhere (RFC 8628).
CREATE TABLE oidc_devices (
    hash       BLOB PRIMARY KEY,              -- of its device code
    user_code  TEXT NOT NULL UNIQUE,          -- keyed hash: a person types it, so it has few values
    client     TEXT NOT NULL,
    scope      TEXT NOT NULL,
    source     TEXT NOT NULL,                 -- network address that the device asked from
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    polled_at  BIGINT,
    pause      BIGINT NOT NULL,               -- seconds between two questions
    state      TEXT NOT NULL CHECK (state IN ('waiting', 'approved', 'refused', 'used')),
    grant_id   TEXT REFERENCES oidc_grants (id) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX oidc_devices_expiry ON oidc_devices (expires_at);

-- Proofs that clients have made with their key (RFC 7523), each good once.
CREATE TABLE oidc_assertions (
    client     TEXT NOT NULL,
    jti_hash   BLOB NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (client, jti_hash)
) WITHOUT ROWID;
CREATE INDEX oidc_assertions_expiry ON oidc_assertions (expires_at);

-- What a person has agreed to tell a client.
CREATE TABLE oidc_consents (
    subject   TEXT NOT NULL REFERENCES accounts (subject) ON DELETE CASCADE,
    client    TEXT NOT NULL,
    scope     TEXT NOT NULL,                  -- words, separated by a space
    agreed_at BIGINT NOT NULL,
    PRIMARY KEY (subject, client)
) WITHOUT ROWID;

-- Clients that are still to be told that a session is over. Written with the end of the session, whoever ends it.
CREATE TABLE oidc_logouts (
    id         TEXT PRIMARY KEY,
    client     TEXT NOT NULL,
    subject    TEXT NOT NULL,                 -- ours; what the client knows follows from it
    sid        TEXT NOT NULL,
    tries      BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    next_at    BIGINT NOT NULL,               -- when it is due; of one that is being told, when another gateway may take it over
    expires_at BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX oidc_logouts_next ON oidc_logouts (next_at);

-- How often proofs failed, by what the attempts have in common: an account, a network address, a browser of a person. What is counted
-- fades: the number of failures is the time until empty_at in the counter's units. What has faded is found by looking through all, now and
-- then: an index by time would be written with each attempt.
CREATE TABLE attempts (
    counter  TEXT PRIMARY KEY,
    subject  TEXT NOT NULL,                   -- of the account that it is about; empty: none
    turn     BIGINT NOT NULL,                 -- rises with each attempt
    empty_at BIGINT NOT NULL,
    open_at  BIGINT NOT NULL                  -- nobody may try before
) WITHOUT ROWID;
CREATE INDEX attempts_subject ON attempts (subject) WHERE subject <> '';

-- Browsers that a person has signed in with.
CREATE TABLE known_browsers (
    hash       BLOB NOT NULL,
    subject    TEXT NOT NULL REFERENCES accounts (subject) ON DELETE CASCADE,
    seen_at    BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (hash, subject)
) WITHOUT ROWID;
CREATE INDEX known_browsers_subject ON known_browsers (subject);
CREATE INDEX known_browsers_expiry ON known_browsers (expires_at);

-- What other gateways must hear of: a session that was ended, an account that was changed. Read back by time.
CREATE TABLE changes (
    id   TEXT PRIMARY KEY,
    at   BIGINT NOT NULL,
    kind TEXT NOT NULL,
    ref  TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX changes_time ON changes (at);

-- The audit trail. Each record holds the hash of the one before: see package audit.
CREATE TABLE audit_events (
    seq     BIGINT PRIMARY KEY,
    at      BIGINT NOT NULL,
    kind    TEXT NOT NULL,
    subject TEXT NOT NULL,
    body    TEXT NOT NULL,                    -- JSON, exactly as it was hashed
    hash    TEXT NOT NULL                     -- hexadecimal
) WITHOUT ROWID;
CREATE INDEX audit_events_subject ON audit_events (subject, seq);

-- Where the trail ends, so that a cut end is seen. One row.
CREATE TABLE audit_head (
    id   BIGINT PRIMARY KEY CHECK (id = 1),
    seq  BIGINT NOT NULL,
    hash TEXT NOT NULL
) WITHOUT ROWID;

-- Which keys of the key file this database was used with: a wrong file is noticed at the start.
CREATE TABLE seal_keys (
    id     TEXT PRIMARY KEY,
    proof  BLOB NOT NULL
) WITHOUT ROWID;

-- +goose Down
DROP TABLE oidc_logouts;
DROP TABLE oidc_consents;
DROP TABLE oidc_assertions;
DROP TABLE oidc_devices;
DROP TABLE oidc_tokens;
DROP TABLE oidc_grants;
DROP TABLE oidc_requests;
DROP TABLE clients;
DROP TABLE keys;
DROP TABLE seal_keys;
DROP TABLE audit_head;
DROP TABLE audit_events;
DROP TABLE changes;
DROP TABLE known_browsers;
DROP TABLE attempts;
DROP TABLE mail_queue;
DROP TABLE invitations;
DROP TABLE recovery_codes;
DROP TABLE factors;
DROP TABLE codes;
DROP TABLE logins;
DROP TABLE entries;
DROP TABLE psc_logouts;
DROP TABLE psc_sessions;
DROP TABLE psc_subjects;
DROP TABLE session_tokens;
DROP TABLE sessions;
DROP TABLE account_mailboxes;
DROP TABLE account_structures;
DROP TABLE accounts;
