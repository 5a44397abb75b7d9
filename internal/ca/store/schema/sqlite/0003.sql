-- The third schema: what many rows need. The rules of 0001.sql hold.

-- One index in the place of two: for an account's valid authorizations, and for the operator, who asks by name. With
-- the end in it, a look for those that count passes over those that have expired and are kept for a while.
DROP INDEX authzs_valid;
DROP INDEX authzs_for;
CREATE INDEX authzs_of ON authzs (value, account, status, expires);

-- The serial is in the row.
DROP INDEX certificates_of_key;
CREATE INDEX certificates_of_key ON certificates (spki);
