-- The application's own part, and its past: user names must be unique, and the foreign key to the users was lost in a
-- migration, which is how profiles of deleted users came to stay behind.
ALTER TABLE public.profiles
    ADD COLUMN username text UNIQUE CONSTRAINT profiles_username_length CHECK (char_length(username) >= 3),
    DROP CONSTRAINT profiles_id_fkey;
