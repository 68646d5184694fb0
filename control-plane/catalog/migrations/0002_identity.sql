-- Accounts, what they sign in with, and the answers kept for repeated requests.

-- `email` is in lower case. `password` is the PHC text of an Argon2id hash.
CREATE TABLE account (
    id TEXT PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    display_name TEXT NOT NULL,
    role TEXT NOT NULL,
    tier TEXT NOT NULL,
    password TEXT NOT NULL,
    created_us BIGINT NOT NULL,
    updated_us BIGINT NOT NULL
);

-- One sign-in on one device: the line of refresh tokens that followed from it.
CREATE TABLE sign_in (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES account (id),
    expires_us BIGINT NOT NULL,
    revoked_us BIGINT
);
CREATE INDEX sign_in_by_account ON sign_in (account_id);
CREATE INDEX sign_in_by_time ON sign_in (expires_us);

-- Refresh tokens, by the SHA-256 of their 32 bytes. A used one stays until its line ends, so that a second use is seen.
CREATE TABLE refresh_token (
    hash TEXT PRIMARY KEY,
    sign_in_id TEXT NOT NULL REFERENCES sign_in (id),
    expires_us BIGINT NOT NULL,
    used_us BIGINT
);
CREATE INDEX refresh_token_by_sign_in ON refresh_token (sign_in_id);

-- Answers to requests that carried an Idempotency-Key. `id` and `fingerprint` are digests made with that key, and `sealed`
-- is encrypted with it: the key itself is not stored. A row without a status is a request that is being answered.
CREATE TABLE answer (
    id TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    claim TEXT NOT NULL,
    until_us BIGINT NOT NULL,
    status BIGINT,
    sealed BYTEA
);
CREATE INDEX answer_by_time ON answer (until_us);
