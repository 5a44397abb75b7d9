-- The third schema: what several processes on one database need. The rules of 0001.sql hold.

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
