-- A store as version 1 left it, made with the tests' key. Never edited: it stands for what is out there.
CREATE TABLE migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at BIGINT NOT NULL);
CREATE TABLE drafts (
    id TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    principal TEXT NOT NULL,
    care_unit_id TEXT NOT NULL,
    patient_key TEXT NOT NULL,
    dedupe TEXT UNIQUE,
    digest TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    approval_id TEXT,
    attempt INTEGER NOT NULL DEFAULT 0,
    first_sent_at BIGINT,
    last_sent_at BIGINT,
    lease_owner TEXT,
    lease_until BIGINT,
    next_at BIGINT,
    looked INTEGER NOT NULL DEFAULT 0,
    job_id TEXT,
    remote_id BYTEA,
    remote_key TEXT UNIQUE,
    matched_by TEXT,
    verified TEXT,
    reason BYTEA,
    dropped INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX drafts_by_time ON drafts (created_at, id);
CREATE INDEX drafts_by_state_and_time ON drafts (state, created_at, id);
CREATE INDEX drafts_by_state ON drafts (state, updated_at);
CREATE INDEX drafts_by_patient ON drafts (patient_key, kind, digest);
CREATE INDEX drafts_with_text ON drafts (state, updated_at) WHERE dropped = 0;
CREATE TABLE versions (
    draft_id TEXT NOT NULL REFERENCES drafts (id),
    version INTEGER NOT NULL,
    digest TEXT NOT NULL,
    payload BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (draft_id, version)
);
CREATE TABLE approvals (
    id TEXT PRIMARY KEY,
    draft_id TEXT NOT NULL REFERENCES drafts (id),
    version INTEGER NOT NULL,
    digest TEXT NOT NULL,
    approver TEXT NOT NULL,
    channel TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT
);
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY,
    time BIGINT NOT NULL,
    body BYTEA NOT NULL,
    prev BYTEA NOT NULL,
    mac BYTEA NOT NULL
);
CREATE TABLE audit_head (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    seq INTEGER NOT NULL,
    links INTEGER NOT NULL,
    mac BYTEA NOT NULL
);
CREATE TABLE key_check (id INTEGER PRIMARY KEY CHECK (id = 1), mac BYTEA NOT NULL);
INSERT INTO migrations VALUES (1, 'ledger_and_chain', 1772443815123456);
INSERT INTO key_check VALUES (1, X'0e32ca0ebbd066b7e92df6607d35569c10efe5009210e2e1794e478d7559e038');
