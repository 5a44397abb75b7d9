-- The third schema: what several machines need. The rules of 0001.sql hold.

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
