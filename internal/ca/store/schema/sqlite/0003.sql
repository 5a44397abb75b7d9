-- The third schema: what many rows need. The rules of 0001.sql hold.

-- Of valid authorizations, those that have expired are kept for a while: a look for one that counts passes them over.
DROP INDEX authzs_valid;
CREATE INDEX authzs_valid ON authzs (account, value, expires) WHERE status = 'valid';
