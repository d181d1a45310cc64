"""The ledger's tables, as the row of steps that made them: a ledger of an earlier version is brought up to date.

A step that was released is never edited: what changes is a further step. ``PRAGMA user_version`` is the number of the
steps that a file has taken.

Paths are blobs: a file name need not be UTF-8. A digest is as in model.Content. ``left_*`` is the lstat and content at
the end of the last evaluation that placed the destination, NULL while one is under way.
"""

_FIRST = """
CREATE TABLE source (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,             -- the repository's address, or the directory given by --repo
    tree TEXT NOT NULL,
    commit_id TEXT NOT NULL,
    boot TEXT NOT NULL,
    finished INTEGER NOT NULL,             -- post.sh came to an end of its own
    attempted TEXT NOT NULL,               -- revisions as printed
    applied TEXT NOT NULL,
    ready_boot TEXT NOT NULL,              -- the boot in which post.sh first came to its end
    last_finished INTEGER NOT NULL,        -- evaluation
    failed TEXT NOT NULL,                  -- JSON: one line a step that is failed
    pending TEXT NOT NULL                  -- JSON: one line a step that is due and was not reached
);
CREATE TABLE evaluation (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    source INTEGER NOT NULL REFERENCES source (id),
    revision TEXT NOT NULL,
    scope TEXT NOT NULL,
    trigger TEXT NOT NULL,
    began REAL NOT NULL,
    duration_usec INTEGER,
    exit_status INTEGER,
    finished INTEGER,
    counts TEXT
);
CREATE TABLE attempt (
    source INTEGER NOT NULL REFERENCES source (id),
    key TEXT NOT NULL,
    reach INTEGER NOT NULL,                -- the how-manieth time the statement was reached in its evaluation
    succeeded INTEGER NOT NULL,
    exit_status INTEGER NOT NULL,
    statement_status INTEGER NOT NULL,
    label TEXT NOT NULL,                   -- file:line command
    evaluation INTEGER NOT NULL,
    PRIMARY KEY (source, key, reach)
) WITHOUT ROWID;
CREATE TABLE destination (
    path BLOB PRIMARY KEY,
    source INTEGER NOT NULL REFERENCES source (id),
    evaluation INTEGER NOT NULL,
    file TEXT NOT NULL,
    line INTEGER NOT NULL,
    phase TEXT NOT NULL,
    created INTEGER NOT NULL,              -- nothing stood here before nodeagent
    native_digest TEXT NOT NULL,           -- after the last native verb, before what later steps did to it
    left_digest TEXT,
    left_mode INTEGER,                     -- st_mode with the type
    left_uid INTEGER,
    left_gid INTEGER,
    left_size INTEGER,
    left_mtime_ns INTEGER,
    left_ctime_ns INTEGER,
    left_inode INTEGER
) WITHOUT ROWID;
CREATE TABLE link (                        -- the chain of verbs on one destination
    path BLOB NOT NULL REFERENCES destination (path) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    digest TEXT NOT NULL,
    mode INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    gid INTEGER NOT NULL,
    PRIMARY KEY (path, position)
) WITHOUT ROWID;
CREATE TABLE block (
    path BLOB NOT NULL,
    position INTEGER NOT NULL,
    statement TEXT NOT NULL,
    text BLOB NOT NULL,
    adopted INTEGER NOT NULL,
    PRIMARY KEY (path, position)
);
CREATE TABLE kept (                        -- what stood at a path before nodeagent; content in kept/DIGEST
    path BLOB PRIMARY KEY,
    kind INTEGER NOT NULL,
    digest TEXT NOT NULL,
    mode INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    gid INTEGER NOT NULL,
    evaluation INTEGER NOT NULL
) WITHOUT ROWID;
"""

# For ``why``, ``undo`` and prune: which commit and which statement put a thing there.
_ORIGINS = """
CREATE TABLE commit_seen (                 -- what is worth knowing of a commit that was taken over
    commit_id TEXT PRIMARY KEY,
    author TEXT NOT NULL,                  -- NAME <ADDRESS>
    authored INTEGER NOT NULL,             -- seconds since the epoch
    subject TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE statement (
    source INTEGER NOT NULL REFERENCES source (id),
    key TEXT NOT NULL,
    file TEXT NOT NULL,
    line INTEGER NOT NULL,
    text TEXT NOT NULL,
    evaluation INTEGER NOT NULL,           -- the last one whose program had it
    PRIMARY KEY (source, key)
) WITHOUT ROWID;
ALTER TABLE destination ADD COLUMN statement TEXT NOT NULL DEFAULT '';
ALTER TABLE destination ADD COLUMN revision TEXT NOT NULL DEFAULT '';  -- that last wrote it, or first found it
ALTER TABLE destination ADD COLUMN written REAL;                       -- when; NULL: it stood there as it was wanted
ALTER TABLE block ADD COLUMN source INTEGER;
ALTER TABLE block ADD COLUMN revision TEXT NOT NULL DEFAULT '';
ALTER TABLE block ADD COLUMN written REAL;
"""

# What is due is told from what a step did last; until now this was forgotten when a full evaluation began.
_DUE = """
ALTER TABLE source ADD COLUMN full_evaluation INTEGER NOT NULL DEFAULT 0;    -- the last one that was full
ALTER TABLE source ADD COLUMN forced_evaluation INTEGER NOT NULL DEFAULT 0;  -- the last one that was so by --force
UPDATE source SET full_evaluation = coalesce(
    (SELECT max(number) FROM evaluation WHERE evaluation.source = source.id AND scope = 'full'), 0);
ALTER TABLE attempt ADD COLUMN boot TEXT NOT NULL DEFAULT '';
ALTER TABLE attempt ADD COLUMN tries INTEGER NOT NULL DEFAULT 1;             -- since it became due
ALTER TABLE attempt ADD COLUMN retries INTEGER NOT NULL DEFAULT 0;           -- how often it may still try by itself
ALTER TABLE attempt ADD COLUMN tick INTEGER NOT NULL DEFAULT 0;              -- of the last change when it began
UPDATE attempt SET boot = (SELECT boot FROM source WHERE source.id = attempt.source);
CREATE TABLE deferral (                    -- steps that are due and wait for the node to be idle
    source INTEGER NOT NULL REFERENCES source (id),
    key TEXT NOT NULL,
    reach INTEGER NOT NULL,
    evaluation INTEGER NOT NULL,           -- the last one in which it was deferred
    PRIMARY KEY (source, key, reach)
) WITHOUT ROWID;
CREATE TABLE change (                      -- when a native verb last changed a path; rows stay, so ticks only grow
    path BLOB PRIMARY KEY,
    tick INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX change_tick ON change (tick);
"""

_UNDO = """
CREATE TABLE undone (                      -- paths that are left alone since they were undone
    path BLOB PRIMARY KEY,
    source INTEGER NOT NULL REFERENCES source (id),
    since REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE withdrawn (                   -- sources of which everything was undone
    source INTEGER PRIMARY KEY REFERENCES source (id)
);
"""

_PRUNE = """
CREATE TABLE orphan (                      -- what no step names any more and stands there still, a line each
    source INTEGER NOT NULL REFERENCES source (id),
    text TEXT NOT NULL,
    PRIMARY KEY (source, text)
) WITHOUT ROWID;
ALTER TABLE statement ADD COLUMN prune INTEGER NOT NULL DEFAULT 1;  -- 0: it said prune=no
"""

_DRIFT = """
CREATE TABLE repair (                      -- how often drift of a path was repaired
    path BLOB PRIMARY KEY,
    source INTEGER NOT NULL REFERENCES source (id),
    times INTEGER NOT NULL,                -- each soon after the one before
    last REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE reported (                    -- drift that is only told
    path BLOB PRIMARY KEY,
    source INTEGER NOT NULL REFERENCES source (id)
) WITHOUT ROWID;
"""

_REBUILT = """
CREATE TABLE rebuilt (                     -- a row: the ledger before this one was damaged
    since REAL NOT NULL
);
"""

_MERGE = """
CREATE TABLE entry (                       -- lines that MERGEs put into user databases
    path BLOB NOT NULL,
    position INTEGER NOT NULL,
    statement TEXT NOT NULL,
    text BLOB NOT NULL,
    former BLOB,                           -- what stood under its name before; NULL: nothing did
    PRIMARY KEY (path, position)
) WITHOUT ROWID;
"""

# Until now, what stood behind a text without a newline was taken for what continues it.
_CONTINUES = """
ALTER TABLE block ADD COLUMN continues INTEGER NOT NULL DEFAULT 0;  -- the line that the block before it began
UPDATE block SET continues = 1 WHERE EXISTS (
    SELECT 1 FROM block AS before
    WHERE before.path = block.path AND before.position = block.position - 1 AND substr(before.text, -1) <> x'0a');
"""

_STAGING = """
CREATE TABLE staging (                     -- where something may stand under a temporary name
    directory BLOB PRIMARY KEY
) WITHOUT ROWID;
"""

# What a COPY has read need not be read again while it is untouched.
_READ = """
ALTER TABLE link ADD COLUMN read BLOB NOT NULL DEFAULT x'';  -- the source file's fingerprint; empty: to be read again
"""

_EDITOR = """
CREATE TABLE editor (                      -- steps that wrote to a destination behind its verbs
    path BLOB NOT NULL,
    source INTEGER NOT NULL REFERENCES source (id),
    key TEXT NOT NULL,
    reach INTEGER NOT NULL,
    anew INTEGER NOT NULL,                 -- it was placed anew for this step, which has not run since
    PRIMARY KEY (path, source, key, reach)
) WITHOUT ROWID;
CREATE INDEX editor_step ON editor (source, key, reach);
"""

_ACCEPTED = """
CREATE TABLE accepted (                    -- commits that a person took although they descend not from the one before
    id INTEGER PRIMARY KEY,
    source INTEGER NOT NULL REFERENCES source (id),
    former TEXT NOT NULL,                  -- the commit at which the node stood
    commit_id TEXT NOT NULL,
    reason TEXT NOT NULL,
    who TEXT NOT NULL,
    since REAL NOT NULL,
    ended REAL                             -- when the next revision was taken; NULL: it is waited for
);
"""

STEPS = (
    _FIRST,
    _ORIGINS,
    _DUE,
    _UNDO,
    _PRUNE,
    _DRIFT,
    _REBUILT,
    _MERGE,
    _CONTINUES,
    _STAGING,
    _READ,
    _EDITOR,
    _ACCEPTED,
)
