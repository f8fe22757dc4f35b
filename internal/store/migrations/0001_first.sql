-- Times are Unix milliseconds, UTC. Hashes are SHA-256 of tokens (package token); no token is stored.

-- +goose Up
CREATE TABLE accounts (
    subject     TEXT PRIMARY KEY,           -- ours, opaque, stable
    id_type     TEXT NOT NULL,              -- RPPS, ADELI …
    national_id TEXT NOT NULL,
    given_name  TEXT NOT NULL,
    family_name TEXT NOT NULL,
    title       TEXT NOT NULL,              -- the card's free label
    profession  TEXT NOT NULL,              -- code of table G15, or empty
    mailbox     TEXT NOT NULL DEFAULT '',
    state       TEXT NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'disabled')),
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    UNIQUE (id_type, national_id)
);

CREATE TABLE sessions (
    id          TEXT PRIMARY KEY,           -- names the session in audit and assertions; opens nothing
    subject     TEXT NOT NULL REFERENCES accounts (subject),
    method      TEXT NOT NULL,
    acr         TEXT NOT NULL,
    amr         TEXT NOT NULL,              -- words, separated by a space
    auth_at     BIGINT NOT NULL,
    fingerprint TEXT NOT NULL,              -- of the certificate, or empty
    card_type   TEXT NOT NULL,
    watch_hash  BLOB,                       -- token of the agent that reports the card's removal
    created_at  BIGINT NOT NULL,
    seen_at     BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,            -- absolute
    ended_at    BIGINT,
    end_reason  TEXT NOT NULL DEFAULT ''
);
CREATE INDEX sessions_subject ON sessions (subject);
CREATE UNIQUE INDEX sessions_watch ON sessions (watch_hash) WHERE watch_hash IS NOT NULL;
CREATE INDEX sessions_expiry ON sessions (expires_at);

-- One session has one token for each host that the browser opened with it.
CREATE TABLE session_tokens (
    hash       BLOB PRIMARY KEY,
    session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    host       TEXT NOT NULL
);
CREATE INDEX session_tokens_session ON session_tokens (session_id);

-- A one-time code that carries a session from the auth host to a service host.
CREATE TABLE entries (
    hash       BLOB PRIMARY KEY,
    session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    host       TEXT NOT NULL,
    state_hash BLOB NOT NULL,
    expires_at BIGINT NOT NULL
);

-- A login in progress. It is born waiting, an agent fetches it, a proof settles it once, its code is used once.
CREATE TABLE logins (
    handle_hash  BLOB PRIMARY KEY,
    browser_hash BLOB NOT NULL,
    method       TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    fetched_at   BIGINT,
    settled_at   BIGINT,
    code_hash    BLOB UNIQUE,
    watch_hash   BLOB,
    outcome      TEXT NOT NULL DEFAULT '',  -- JSON, of the method that settled it
    used_at      BIGINT
);
CREATE INDEX logins_browser ON logins (browser_hash);
CREATE UNIQUE INDEX logins_watch ON logins (watch_hash) WHERE watch_hash IS NOT NULL;
CREATE INDEX logins_expiry ON logins (expires_at);

-- +goose Down
DROP TABLE logins;
DROP TABLE entries;
DROP TABLE session_tokens;
DROP TABLE sessions;
DROP TABLE accounts;
