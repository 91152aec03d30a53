-- +goose Up
-- What is remembered of partners' files, in the database that their records go to: a file is decided
-- in the transaction that takes its records in.
CREATE TABLE partner (
    partner  text PRIMARY KEY,
    next     bigint,      -- the ordinal that is expected, see drop.Sequence; NULL: none has come yet
    taken_at timestamptz  -- when a file was last taken
);

-- One row per file. The same bytes under the same name are the same file, unless names begin again
-- with the numbers in them: then the ordinal tells them apart.
CREATE TABLE file (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    partner     text NOT NULL REFERENCES partner,
    name        text NOT NULL,
    sha256      bytea NOT NULL CHECK (length(sha256) = 32),
    ordinal     bigint NOT NULL,             -- -1: names have none
    bytes       bigint NOT NULL,
    modified    timestamptz,                 -- as the store told last
    status      text NOT NULL CHECK (status IN ('taken', 'skipped', 'refused')),
    reason      text CHECK ((status = 'taken') = (reason IS NULL)),
    again       boolean NOT NULL DEFAULT false, -- a person wants it read again
    decided_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    counts      jsonb NOT NULL DEFAULT '{}', -- of its records
    resent      integer NOT NULL DEFAULT 0,  -- how often it was there again
    companion   text,                        -- the trigger or control file
    moves_to    text,                        -- folder that both go to, '' to be deleted; NULL: they stay
    moved_at    timestamptz,
    UNIQUE (partner, name, sha256, ordinal)
);
CREATE INDEX file_content ON file (partner, sha256);
CREATE INDEX file_ordinal ON file (partner, ordinal) WHERE ordinal >= 0;
CREATE INDEX file_unmoved ON file (partner) WHERE moves_to IS NOT NULL AND moved_at IS NULL;

-- Files that have been seen and not been decided, as the last poll saw them.
CREATE TABLE sighting (
    partner    text NOT NULL REFERENCES partner,
    name       text NOT NULL,
    size       bigint NOT NULL,
    modified   timestamptz,
    polls      integer NOT NULL,
    first_seen timestamptz NOT NULL,
    since      timestamptz NOT NULL,
    state      text NOT NULL,
    why        text NOT NULL,
    PRIMARY KEY (partner, name)
);

-- Files that the brake holds until a person approves them: what of, and what they would do.
CREATE TABLE held (
    partner text NOT NULL REFERENCES partner,
    name    text NOT NULL,
    sha256  bytea NOT NULL CHECK (length(sha256) = 32),
    effects jsonb NOT NULL,
    held_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (partner, name)
);

-- Numbers that were passed over and may come late.
CREATE TABLE missing (
    partner    text NOT NULL REFERENCES partner,
    ordinal    bigint NOT NULL,
    noticed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (partner, ordinal)
);

-- HL7 messages by their senders' numbers: what acknowledgements are made of, and what tells a message
-- sent twice from another one under the same number.
CREATE TABLE message (
    file        bigint NOT NULL REFERENCES file ON DELETE CASCADE,
    n           bigint NOT NULL,             -- its place among the file's messages, from 1
    partner     text NOT NULL,
    head        text[] NOT NULL,             -- MSH-3, 4, 5, 6, 11, 12, message type, event
    control     text NOT NULL,
    hash        bytea NOT NULL,
    code        text NOT NULL CHECK (code IN ('AA', 'AE', 'AR')),
    text        text,                        -- why not AA
    PRIMARY KEY (file, n)
);
CREATE INDEX message_control ON message (partner, control) WHERE control <> '';

-- Records, and whole files (record false), that were set aside. Raw bytes are patients' data.
CREATE TABLE quarantine (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    partner    text NOT NULL REFERENCES partner,
    file       bigint NOT NULL REFERENCES file ON DELETE CASCADE,
    record     boolean NOT NULL,
    message    bigint,                       -- message.n
    member     text NOT NULL DEFAULT '',
    line       bigint,
    from_byte  bigint,
    to_byte    bigint,
    control    text NOT NULL DEFAULT '',
    reason     text NOT NULL,
    head       bytea,                        -- what lies before the file's first record
    raw        bytea,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    status     text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'released', 'discarded')),
    person     text,
    why        text,
    decided_at timestamptz,
    CHECK ((status = 'open') = (person IS NULL))
);
CREATE INDEX quarantine_open ON quarantine (partner) WHERE status = 'open';
CREATE INDEX quarantine_file ON quarantine (file);

-- Replies to the sender. Every attempt writes the same bytes.
CREATE TABLE reply (
    file       bigint NOT NULL REFERENCES file ON DELETE CASCADE,
    kind       text NOT NULL CHECK (kind IN ('acks', 'report')),
    name       text NOT NULL,
    body       bytea,                        -- NULL: made of the file's messages
    written_at timestamptz,
    PRIMARY KEY (file, kind)
);
CREATE INDEX reply_owed ON reply (file) WHERE written_at IS NULL;
