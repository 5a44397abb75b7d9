-- The second schema: what the extensions of RFC 8555 need. The rules of 0001.sql hold.
-- Columns are added with what they are in rows from before.

-- Validations that are tried again, and what the answer to the challenge brought.
ALTER TABLE authzs ADD COLUMN tries BIGINT NOT NULL DEFAULT 0;       -- validations that failed for now
ALTER TABLE authzs ADD COLUMN retries BIGINT NOT NULL DEFAULT 0;     -- how many of those may be
ALTER TABLE authzs ADD COLUMN caa_checked BIGINT NOT NULL DEFAULT 0; -- when CAA last permitted it

ALTER TABLE attempts ADD COLUMN problem TEXT NOT NULL DEFAULT '';    -- what the client was told

-- Evidence is found by its age, when it is to go.
CREATE INDEX attempts_at ON attempts (at);

-- Operators ask for the evidence about a name.
CREATE INDEX authzs_for ON authzs (value, id);

-- What operators did.
CREATE TABLE events (
	id      TEXT   NOT NULL PRIMARY KEY,
	at      BIGINT NOT NULL,
	action  TEXT   NOT NULL,
	subject TEXT   NOT NULL,
	detail  TEXT   NOT NULL
) WITHOUT ROWID;

-- Renewal (RFC 9773). Which order a certificate was last to be replaced by; it counts until that order is invalid.
ALTER TABLE orders ADD COLUMN replaces TEXT NOT NULL DEFAULT ''; -- RFC 9773 §4.1

CREATE TABLE replacements (
	serial   TEXT NOT NULL PRIMARY KEY,
	order_id TEXT NOT NULL
) WITHOUT ROWID;

-- When an operator wants certificates renewed.
CREATE TABLE renewal_windows (
	serial      TEXT   NOT NULL PRIMARY KEY,
	begins      BIGINT NOT NULL,
	ends        BIGINT NOT NULL,
	explanation TEXT   NOT NULL
) WITHOUT ROWID;

-- Accounts that are bound to external ones, and the keys that bind them (RFC 8555 §7.3.4).
ALTER TABLE accounts ADD COLUMN binding BLOB NOT NULL DEFAULT x'';      -- as the client sent it
ALTER TABLE accounts ADD COLUMN external_key TEXT NOT NULL DEFAULT '';  -- with which key
ALTER TABLE accounts ADD COLUMN scope TEXT NOT NULL DEFAULT '';         -- for which names the account gets certificates

CREATE TABLE external_keys (
	id      TEXT   NOT NULL PRIMARY KEY,
	mac     BLOB   NOT NULL, -- a secret: it must be at hand to check a MAC
	names   TEXT   NOT NULL,
	uses    BIGINT NOT NULL, -- 0 for any number
	used    BIGINT NOT NULL,
	note    TEXT   NOT NULL,
	created BIGINT NOT NULL,
	expires BIGINT NOT NULL,
	revoked BIGINT NOT NULL
) WITHOUT ROWID;

-- Authorizations that serve several orders (RFC 8555 §7.4.1, RFC 9444).
ALTER TABLE authzs ADD COLUMN subdomains BIGINT NOT NULL DEFAULT 0;
ALTER TABLE authzs ADD COLUMN preauthorized BIGINT NOT NULL DEFAULT 0;

CREATE INDEX authzs_standing ON authzs (account, expires) WHERE status = 'valid' AND subdomains + preauthorized > 0;

-- Keys that accounts had before a key change: records in the DNS may still be made of them (dns-persist-01).
CREATE TABLE past_keys (
	account    TEXT   NOT NULL,
	until      BIGINT NOT NULL,
	thumbprint TEXT   NOT NULL, -- RFC 7638
	PRIMARY KEY (account, until, thumbprint)
) WITHOUT ROWID;

-- Which certificates there are for a name, where their keys can prove control of it (proof-of-possession-01).
CREATE TABLE certificate_names (
	value  TEXT   NOT NULL,
	until  BIGINT NOT NULL,
	serial TEXT   NOT NULL,
	PRIMARY KEY (value, until, serial)
) WITHOUT ROWID;

-- The validity that a client asked for (RFC 8555 §7.4).
ALTER TABLE orders ADD COLUMN not_before BIGINT NOT NULL DEFAULT 0;
ALTER TABLE orders ADD COLUMN not_after BIGINT NOT NULL DEFAULT 0;

-- Random octets with which links for people are signed.
CREATE TABLE secrets (
	name  TEXT NOT NULL PRIMARY KEY,
	value BLOB NOT NULL
) WITHOUT ROWID;

-- Whose key a certificate is for, so that all of a compromised key's are found. Older rows are filled in at a start.
ALTER TABLE certificates ADD COLUMN spki BLOB NOT NULL DEFAULT x''; -- SHA-256 of the SubjectPublicKeyInfo, once issued

CREATE INDEX certificates_of_key ON certificates (spki, serial);

-- Remote perspectives (BR §3.2.2.9), and the tokens by which hosts become such.
CREATE TABLE validators (
	node     TEXT   NOT NULL PRIMARY KEY,
	rir      TEXT   NOT NULL,
	address  TEXT   NOT NULL, -- HOST:PORT
	key_hash BLOB   NOT NULL, -- SHA-256 of its SubjectPublicKeyInfo
	added    BIGINT NOT NULL,
	seen     BIGINT NOT NULL, -- when it last answered; 0 if it never did
	version  TEXT   NOT NULL,
	trouble  TEXT   NOT NULL  -- why it does not answer now; '' if it does
) WITHOUT ROWID;

CREATE TABLE role_tokens (
	id       TEXT   NOT NULL PRIMARY KEY,
	hash     BLOB   NOT NULL, -- SHA-256 of the secret
	role     TEXT   NOT NULL,
	node     TEXT   NOT NULL,
	rir      TEXT   NOT NULL,
	expires  BIGINT NOT NULL,
	used_by  BLOB   NOT NULL  -- the key that was certified; none if it was not used yet
) WITHOUT ROWID;

-- Rate limits. A bucket is as good as new at "good", in microseconds: a limit can be finer than a millisecond.
CREATE TABLE buckets (
	id   TEXT   NOT NULL PRIMARY KEY, -- LIMIT:SUBJECT
	good BIGINT NOT NULL
) WITHOUT ROWID;

-- What operators decided for one subject of a limit.
CREATE TABLE overrides (
	id        TEXT   NOT NULL PRIMARY KEY, -- LIMIT:SUBJECT
	rule      TEXT   NOT NULL,
	unlimited BIGINT NOT NULL,
	note      TEXT   NOT NULL,
	created   BIGINT NOT NULL,
	expires   BIGINT NOT NULL
) WITHOUT ROWID;

-- Names that an account may not order for now, since it never proves them.
CREATE TABLE paused (
	id     TEXT   NOT NULL PRIMARY KEY, -- ACCOUNT/NAME
	since  BIGINT NOT NULL,
	reason TEXT   NOT NULL -- the problem of the last failure
) WITHOUT ROWID;

-- For which sets of identifiers there was a certificate: another one is a renewal.
CREATE TABLE certified_sets (
	id TEXT   NOT NULL PRIMARY KEY, -- digest
	at BIGINT NOT NULL
) WITHOUT ROWID;
