-- Last, because it locks the users table until the transaction ends.
SELECT authsync.attach();
