-- Everything about set-up, and what the face stands on. Not created if it
-- exists: somebody else's schema of that name stops the installation.
CREATE SCHEMA authsync;
COMMENT ON SCHEMA authsync IS 'authsync: set-up, plans, quarantine; the face is in the schema that CREATE EXTENSION was told';
