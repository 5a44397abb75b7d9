-- compatible: 1
-- The tables of schema/sqlite, with PostgreSQL's types; the comments are there. What is compared by its
-- range has COLLATE "C": the order of texts is that of their octets. A column of an index is ASC where it is
-- searched by range: an engine that spreads rows by a hash of the first column (YugabyteDB) keeps those in order.
-- Numbers come first, since PostgreSQL pads a row before each that follows a text.

CREATE TABLE IF NOT EXISTS accounts (
	created      BIGINT NOT NULL,
	id           TEXT COLLATE "C" NOT NULL PRIMARY KEY,
	key          TEXT   NOT NULL,
	status       TEXT   NOT NULL,
	contact      TEXT   NOT NULL,
	terms        TEXT   NOT NULL,
	binding      BYTEA  NOT NULL,
	external_key TEXT   NOT NULL,
	scope        TEXT   NOT NULL
);

CREATE TABLE IF NOT EXISTS account_keys (
	thumbprint TEXT COLLATE "C" NOT NULL PRIMARY KEY,
	account    TEXT COLLATE "C" NOT NULL
);

CREATE TABLE IF NOT EXISTS past_keys (
	until      BIGINT NOT NULL,
	account    TEXT COLLATE "C" NOT NULL,
	thumbprint TEXT COLLATE "C" NOT NULL,
	PRIMARY KEY (account, until, thumbprint)
);

CREATE TABLE IF NOT EXISTS orders (
	created     BIGINT NOT NULL,
	expires     BIGINT NOT NULL,
	due         BIGINT NOT NULL,
	lease_until BIGINT NOT NULL,
	not_before  BIGINT NOT NULL,
	not_after   BIGINT NOT NULL,
	id          TEXT COLLATE "C" NOT NULL PRIMARY KEY,
	account     TEXT COLLATE "C" NOT NULL,
	identifiers TEXT   NOT NULL,
	authzs      TEXT   NOT NULL,
	profile     TEXT   NOT NULL,
	csr         BYTEA  NOT NULL,
	csr_digest  BYTEA  NOT NULL,
	serial      TEXT COLLATE "C" NOT NULL,
	error       TEXT   NOT NULL,
	lease_by    TEXT   NOT NULL,
	replaces    TEXT   NOT NULL
);

CREATE INDEX IF NOT EXISTS orders_of ON orders (account, id);
CREATE INDEX IF NOT EXISTS orders_due ON orders (due ASC) WHERE due > 0;

CREATE TABLE IF NOT EXISTS authzs (
	wildcard      BIGINT NOT NULL,
	expires       BIGINT NOT NULL,
	valid_for     BIGINT NOT NULL,
	due           BIGINT NOT NULL,
	lease_until   BIGINT NOT NULL,
	tries         BIGINT NOT NULL,
	retries       BIGINT NOT NULL,
	caa_checked   BIGINT NOT NULL,
	subdomains    BIGINT NOT NULL,
	preauthorized BIGINT NOT NULL,
	id            TEXT COLLATE "C" NOT NULL PRIMARY KEY,
	account       TEXT COLLATE "C" NOT NULL,
	type          TEXT   NOT NULL,
	value         TEXT COLLATE "C" NOT NULL,
	status        TEXT   NOT NULL,
	challenges    TEXT   NOT NULL,
	lease_by      TEXT   NOT NULL
);

CREATE INDEX IF NOT EXISTS authzs_due ON authzs (due ASC) WHERE due > 0;
CREATE INDEX IF NOT EXISTS authzs_of ON authzs (value, account, status, expires);
CREATE INDEX IF NOT EXISTS authzs_standing ON authzs (account, expires) WHERE status = 'valid' AND subdomains + preauthorized > 0;

CREATE TABLE IF NOT EXISTS certificates (
	not_before BIGINT NOT NULL,
	not_after  BIGINT NOT NULL,
	created    BIGINT NOT NULL,
	revoked    BIGINT NOT NULL,
	reason     BIGINT NOT NULL,
	serial     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
	issuer     TEXT COLLATE "C" NOT NULL,
	order_id   TEXT COLLATE "C" NOT NULL,
	account    TEXT COLLATE "C" NOT NULL,
	profile    TEXT   NOT NULL,
	state      TEXT   NOT NULL,
	digest     BYTEA  NOT NULL,
	der        BYTEA  NOT NULL,
	spki       BYTEA  NOT NULL
);

CREATE INDEX IF NOT EXISTS certificates_revoked ON certificates (issuer, not_after) WHERE revoked > 0;
CREATE INDEX IF NOT EXISTS certificates_reserved ON certificates (order_id ASC) WHERE state = 'reserved';
CREATE INDEX IF NOT EXISTS certificates_of_key ON certificates (spki);

CREATE TABLE IF NOT EXISTS issuances (
	order_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
	serial   TEXT COLLATE "C" NOT NULL
);

CREATE TABLE IF NOT EXISTS revisions (
	slot     BIGINT NOT NULL,
	revision BIGINT NOT NULL,
	issuer   TEXT COLLATE "C" NOT NULL,
	PRIMARY KEY (issuer, slot)
);

CREATE TABLE IF NOT EXISTS crls (
	number      BIGINT NOT NULL,
	this_update BIGINT NOT NULL,
	next_update BIGINT NOT NULL,
	revision    BIGINT NOT NULL,
	issuer      TEXT COLLATE "C" NOT NULL PRIMARY KEY,
	der         BYTEA  NOT NULL
);

CREATE TABLE IF NOT EXISTS replacements (
	serial   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
	order_id TEXT COLLATE "C" NOT NULL
);

CREATE TABLE IF NOT EXISTS renewal_windows (
	begins      BIGINT NOT NULL,
	ends        BIGINT NOT NULL,
	serial      TEXT COLLATE "C" NOT NULL PRIMARY KEY,
	explanation TEXT   NOT NULL
);

CREATE TABLE IF NOT EXISTS certificate_names (
	until  BIGINT NOT NULL,
	value  TEXT COLLATE "C" NOT NULL,
	serial TEXT COLLATE "C" NOT NULL,
	PRIMARY KEY (value, until, serial)
);

CREATE TABLE IF NOT EXISTS attempts (
	at       BIGINT NOT NULL,
	ok       BIGINT NOT NULL,
	authz    TEXT COLLATE "C" NOT NULL,
	id       TEXT COLLATE "C" NOT NULL,
	method   TEXT   NOT NULL,
	evidence BYTEA  NOT NULL,
	problem  TEXT   NOT NULL,
	PRIMARY KEY (authz, id)
);

CREATE INDEX IF NOT EXISTS attempts_at ON attempts (at ASC);

CREATE TABLE IF NOT EXISTS events (
	at      BIGINT NOT NULL,
	id      TEXT COLLATE "C" NOT NULL,
	action  TEXT   NOT NULL,
	subject TEXT   NOT NULL,
	detail  TEXT   NOT NULL,
	PRIMARY KEY (id)
);

CREATE TABLE IF NOT EXISTS external_keys (
	uses    BIGINT NOT NULL,
	used    BIGINT NOT NULL,
	created BIGINT NOT NULL,
	expires BIGINT NOT NULL,
	revoked BIGINT NOT NULL,
	id      TEXT COLLATE "C" NOT NULL PRIMARY KEY,
	mac     BYTEA  NOT NULL,
	names   TEXT   NOT NULL,
	note    TEXT   NOT NULL
);

CREATE TABLE IF NOT EXISTS secrets (
	name  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
	value BYTEA NOT NULL
);

CREATE TABLE IF NOT EXISTS blocked_keys (
	blocked BIGINT NOT NULL,
	spki    BYTEA  NOT NULL PRIMARY KEY
);

CREATE INDEX IF NOT EXISTS blocked_keys_at ON blocked_keys (blocked ASC);

CREATE TABLE IF NOT EXISTS validators (
	added    BIGINT NOT NULL,
	seen     BIGINT NOT NULL,
	node     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
	rir      TEXT   NOT NULL,
	address  TEXT   NOT NULL,
	key_hash BYTEA  NOT NULL,
	version  TEXT   NOT NULL,
	trouble  TEXT   NOT NULL
);

CREATE TABLE IF NOT EXISTS role_tokens (
	expires BIGINT NOT NULL,
	id      TEXT COLLATE "C" NOT NULL PRIMARY KEY,
	hash    BYTEA  NOT NULL,
	role    TEXT   NOT NULL,
	node    TEXT   NOT NULL,
	rir     TEXT   NOT NULL,
	used_by BYTEA  NOT NULL
);

CREATE TABLE IF NOT EXISTS buckets (
	good BIGINT NOT NULL,
	id   TEXT COLLATE "C" NOT NULL PRIMARY KEY
);

CREATE TABLE IF NOT EXISTS overrides (
	unlimited BIGINT NOT NULL,
	created   BIGINT NOT NULL,
	expires   BIGINT NOT NULL,
	id        TEXT COLLATE "C" NOT NULL PRIMARY KEY,
	rule      TEXT   NOT NULL,
	note      TEXT   NOT NULL
);

CREATE TABLE IF NOT EXISTS paused (
	since  BIGINT NOT NULL,
	id     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
	reason TEXT   NOT NULL
);

CREATE TABLE IF NOT EXISTS certified_sets (
	at BIGINT NOT NULL,
	id TEXT COLLATE "C" NOT NULL PRIMARY KEY
);

CREATE TABLE IF NOT EXISTS authorities (
	id     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
	der    BYTEA  NOT NULL,
	place  TEXT   NOT NULL,
	lists  TEXT   NOT NULL,
	frozen BIGINT NOT NULL,
	number BIGINT NOT NULL
);

CREATE TABLE IF NOT EXISTS addresses (
	name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
	url  TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS members (
	node     TEXT COLLATE "C" NOT NULL,
	role     TEXT COLLATE "C" NOT NULL,
	key_hash BYTEA  NOT NULL,
	added    BIGINT NOT NULL,
	PRIMARY KEY (node, role)
);

CREATE TABLE IF NOT EXISTS nodes (
	node     TEXT COLLATE "C" NOT NULL,
	role     TEXT COLLATE "C" NOT NULL,
	address  TEXT   NOT NULL,
	key_hash BYTEA  NOT NULL,
	instance TEXT   NOT NULL,
	seen     BIGINT NOT NULL,
	version  TEXT   NOT NULL,
	PRIMARY KEY (node, role)
);
