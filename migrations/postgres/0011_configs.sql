-- Configurations that were in force, newest last; a bounded number of them. `document` is the text before variables
-- are put in, as text (JSONB would lose the order of its members), with `***` for each secret that stood in it, so that no secret is here.
CREATE TABLE config_versions (
    number BIGINT NOT NULL PRIMARY KEY,
    made_at BIGINT NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    made_by TEXT NOT NULL,
    note TEXT,
    hash TEXT COLLATE "C" NOT NULL,
    document TEXT NOT NULL
);

-- `config_rev` numbers every change of this table or of the truth. `config_truth` is the version that all replicas
-- follow; 0: each follows its own file.
INSERT INTO counters (name, value) VALUES ('config_rev', 0);
INSERT INTO counters (name, value) VALUES ('config_truth', 0);
