    noticed_by      text NOT NULL DEFAULT 'authsync' CONSTRAINT quarantine_rows_noticed_by_check CHECK (noticed_by <> ''),
