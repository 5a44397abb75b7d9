-- The rules that this schema keeps are in docs/store.md: each uniqueness is the
-- primary key of a table of its own, times are milliseconds since 1970 and 0 for
-- none, and nothing but plain tables and indexes is used.

CREATE TABLE accounts (
  id           TEXT   NOT NULL PRIMARY KEY,
  jwk          TEXT   NOT NULL,
  status       TEXT   NOT NULL,
  contact      TEXT   NOT NULL, -- a JSON list, or '' for none
  terms_agreed TEXT   NOT NULL,
  created      BIGINT NOT NULL
) WITHOUT ROWID;

CREATE TABLE account_keys (
  thumbprint TEXT NOT NULL PRIMARY KEY,
  account    TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE orders (
  id          TEXT   NOT NULL PRIMARY KEY,
  account     TEXT   NOT NULL,
  identifiers TEXT   NOT NULL, -- JSON
  authzs      TEXT   NOT NULL, -- JSON
  profile     TEXT   NOT NULL,
  created     BIGINT NOT NULL,
  expires     BIGINT NOT NULL,
  csr         BLOB,            -- while the order is processing
  csr_digest  BLOB,
  serial      TEXT   NOT NULL, -- '' until there is a certificate
  error       TEXT   NOT NULL, -- JSON, or ''
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
  challenges  TEXT   NOT NULL, -- JSON
  due         BIGINT NOT NULL,
  lease_until BIGINT NOT NULL,
  lease_by    TEXT   NOT NULL
) WITHOUT ROWID;

CREATE INDEX authzs_due ON authzs (due) WHERE due > 0;

CREATE TABLE certificates (
  serial     TEXT   NOT NULL PRIMARY KEY,
  issuer     TEXT   NOT NULL,
  order_id   TEXT   NOT NULL,
  account    TEXT   NOT NULL,
  profile    TEXT   NOT NULL,
  state      TEXT   NOT NULL,
  digest     BLOB   NOT NULL,
  der        BLOB,
  not_before BIGINT NOT NULL,
  not_after  BIGINT NOT NULL,
  created    BIGINT NOT NULL,
  revoked    BIGINT NOT NULL,
  reason     BIGINT NOT NULL
) WITHOUT ROWID;

CREATE INDEX certificates_revoked ON certificates (issuer, not_after) WHERE revoked > 0;

-- The one certificate of an order that is not abandoned.
CREATE TABLE issuances (
  order_id TEXT NOT NULL PRIMARY KEY,
  serial   TEXT NOT NULL
) WITHOUT ROWID;

-- How many changes an issuer's revocations have seen: its CRL is stale when it was made at another count.
CREATE TABLE revisions (
  issuer   TEXT   NOT NULL PRIMARY KEY,
  revision BIGINT NOT NULL
) WITHOUT ROWID;

CREATE TABLE crls (
  issuer      TEXT   NOT NULL PRIMARY KEY,
  number      BIGINT NOT NULL,
  revision    BIGINT NOT NULL,
  this_update BIGINT NOT NULL,
  next_update BIGINT NOT NULL,
  der         BLOB   NOT NULL
) WITHOUT ROWID;

CREATE TABLE attempts (
  authz    TEXT   NOT NULL,
  at       BIGINT NOT NULL,
  method   TEXT   NOT NULL,
  ok       BIGINT NOT NULL,
  evidence BLOB   NOT NULL, -- JSON
  PRIMARY KEY (authz, at)
) WITHOUT ROWID;

CREATE TABLE blocked_keys (
  spki    BLOB   NOT NULL PRIMARY KEY, -- SHA-256
  blocked BIGINT NOT NULL
) WITHOUT ROWID;
