-- The first schema. Times are Unix time in milliseconds and 0 for "never"; lists
-- and problems are JSON; "" and an empty blob stand for "none": there is no NULL.
-- What is unique is the primary key of a table of its own.

CREATE TABLE accounts (
	id      TEXT   NOT NULL PRIMARY KEY,
	key     TEXT   NOT NULL, -- JWK
	status  TEXT   NOT NULL,
	contact TEXT   NOT NULL,
	terms   TEXT   NOT NULL,
	created BIGINT NOT NULL
) WITHOUT ROWID;

CREATE TABLE account_keys (
	thumbprint TEXT NOT NULL PRIMARY KEY, -- RFC 7638
	account    TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE orders (
	id          TEXT   NOT NULL PRIMARY KEY,
	account     TEXT   NOT NULL,
	identifiers TEXT   NOT NULL,
	authzs      TEXT   NOT NULL,
	profile     TEXT   NOT NULL,
	created     BIGINT NOT NULL,
	expires     BIGINT NOT NULL,
	csr         BLOB   NOT NULL,
	csr_digest  BLOB   NOT NULL,
	serial      TEXT   NOT NULL,
	error       TEXT   NOT NULL,
	due         BIGINT NOT NULL,
	lease_until BIGINT NOT NULL,
	lease_by    TEXT   NOT NULL
) WITHOUT ROWID;

CREATE INDEX orders_of ON orders (account, id);
CREATE INDEX orders_due ON orders (due) WHERE due > 0;

CREATE TABLE authzs (
	id          TEXT   NOT NULL PRIMARY KEY,
	account     TEXT   NOT NULL,
	type        TEXT   NOT NULL,
	value       TEXT   NOT NULL,
	wildcard    BIGINT NOT NULL,
	status      TEXT   NOT NULL,
	expires     BIGINT NOT NULL,
	valid_for   BIGINT NOT NULL, -- milliseconds
	challenges  TEXT   NOT NULL,
	due         BIGINT NOT NULL,
	lease_until BIGINT NOT NULL,
	lease_by    TEXT   NOT NULL
) WITHOUT ROWID;

CREATE INDEX authzs_due ON authzs (due) WHERE due > 0;
CREATE INDEX authzs_valid ON authzs (account, value) WHERE status = 'valid';

-- With a rowid: rows this wide pack badly into the pages of an index.
CREATE TABLE certificates (
	serial     TEXT   NOT NULL PRIMARY KEY,
	issuer     TEXT   NOT NULL,
	order_id   TEXT   NOT NULL,
	account    TEXT   NOT NULL,
	profile    TEXT   NOT NULL,
	state      TEXT   NOT NULL,
	digest     BLOB   NOT NULL,
	der        BLOB   NOT NULL,
	not_before BIGINT NOT NULL,
	not_after  BIGINT NOT NULL,
	created    BIGINT NOT NULL,
	revoked    BIGINT NOT NULL,
	reason     BIGINT NOT NULL
);

CREATE INDEX certificates_revoked ON certificates (issuer, not_after) WHERE revoked > 0;
CREATE INDEX certificates_reserved ON certificates (order_id) WHERE state = 'reserved';

-- The one certificate of an order that is not abandoned.
CREATE TABLE issuances (
	order_id TEXT NOT NULL PRIMARY KEY,
	serial   TEXT NOT NULL
) WITHOUT ROWID;

-- How often the set of an issuer's revocations has changed.
CREATE TABLE revisions (
	issuer   TEXT   NOT NULL PRIMARY KEY,
	revision BIGINT NOT NULL
) WITHOUT ROWID;

-- The newest list of each issuer.
CREATE TABLE crls (
	issuer      TEXT   NOT NULL PRIMARY KEY,
	number      BIGINT NOT NULL,
	this_update BIGINT NOT NULL,
	next_update BIGINT NOT NULL,
	revision    BIGINT NOT NULL, -- of the issuer's revocations, as the list has them
	der         BLOB   NOT NULL
);

CREATE TABLE attempts (
	authz    TEXT   NOT NULL,
	id       TEXT   NOT NULL,
	at       BIGINT NOT NULL,
	method   TEXT   NOT NULL,
	ok       BIGINT NOT NULL,
	evidence BLOB   NOT NULL,
	PRIMARY KEY (authz, id)
) WITHOUT ROWID;

CREATE TABLE blocked_keys (
	spki    BLOB   NOT NULL PRIMARY KEY, -- SHA-256 of the SubjectPublicKeyInfo
	blocked BIGINT NOT NULL
) WITHOUT ROWID;
