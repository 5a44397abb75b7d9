-- The second schema: what the extensions of RFC 8555 need. The rules of 0001.sql hold.
-- Columns are added with what they are in rows from before.

-- Validations that are tried again, and what the answer to the challenge brought.
ALTER TABLE authzs ADD COLUMN tries BIGINT NOT NULL DEFAULT 0;       -- validations that failed for now
ALTER TABLE authzs ADD COLUMN retries BIGINT NOT NULL DEFAULT 0;     -- how many of those may be
ALTER TABLE authzs ADD COLUMN account_url TEXT NOT NULL DEFAULT '';  -- of the account, as the client calls it
ALTER TABLE authzs ADD COLUMN caa_checked BIGINT NOT NULL DEFAULT 0; -- when CAA last permitted it

-- Evidence is found by its age, when it is to go.
CREATE INDEX attempts_at ON attempts (at);

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
