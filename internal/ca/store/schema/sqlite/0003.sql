-- The third schema: what several machines need to know of each other. The rules of 0001.sql hold.

-- Certificates of roots and issuers, for machines without the keys.
CREATE TABLE authorities (
	id     TEXT   NOT NULL PRIMARY KEY, -- issuer "1", root "root-1", what root 1 says of issuer 1 "1/root-1"
	der    BLOB   NOT NULL,
	place  TEXT   NOT NULL,             -- URL of the certificate
	lists  TEXT   NOT NULL,             -- URLs of its CRL, JSON
	frozen BIGINT NOT NULL,             -- 1: its key was taken away
	number BIGINT NOT NULL
) WITHOUT ROWID;

-- Where the authority is to be found.
CREATE TABLE addresses (
	name TEXT NOT NULL PRIMARY KEY, -- "acme", "published"
	url  TEXT NOT NULL
) WITHOUT ROWID;

-- Which hosts were taken in as which roles. A peer whose key is not here is refused.
CREATE TABLE members (
	node     TEXT   NOT NULL,
	role     TEXT   NOT NULL,
	key_hash BLOB   NOT NULL, -- SHA-256 of its SubjectPublicKeyInfo
	added    BIGINT NOT NULL,
	PRIMARY KEY (node, role)
) WITHOUT ROWID;

-- Which processes run. Each says so every few seconds.
CREATE TABLE nodes (
	node     TEXT   NOT NULL,
	role     TEXT   NOT NULL,
	address  TEXT   NOT NULL, -- HOST:PORT for calls of other roles
	key_hash BLOB   NOT NULL,
	instance TEXT   NOT NULL, -- in nonces that it makes
	seen     BIGINT NOT NULL,
	version  TEXT   NOT NULL,
	PRIMARY KEY (node, role)
) WITHOUT ROWID;

-- The count of changes to an issuer's revocations, in slots: who revokes at the same time seldom meets.
ALTER TABLE revisions RENAME TO old_revisions;

CREATE TABLE revisions (
	issuer   TEXT   NOT NULL,
	slot     BIGINT NOT NULL, -- the last digit of the serial
	revision BIGINT NOT NULL,
	PRIMARY KEY (issuer, slot)
) WITHOUT ROWID;

INSERT INTO revisions (issuer, slot, revision) SELECT issuer, 0, revision FROM old_revisions;

DROP TABLE old_revisions;

-- One index in the place of two: for an account's valid authorizations, and for the operator, who asks by name. With
-- the end in it, a look for those that count passes over those that have expired and are kept for a while.
DROP INDEX authzs_valid;
DROP INDEX authzs_for;
CREATE INDEX authzs_of ON authzs (value, account, status, expires);

-- The serial is in the row.
DROP INDEX certificates_of_key;
CREATE INDEX certificates_of_key ON certificates (spki);

-- Which keys were blocked of late.
CREATE INDEX blocked_keys_at ON blocked_keys (blocked);
