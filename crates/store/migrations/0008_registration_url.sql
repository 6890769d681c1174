-- Told of the registrations of the endpoints that have the application.
ALTER TABLE application ADD COLUMN registration_url TEXT;
ALTER TABLE application ADD COLUMN registration_method TEXT NOT NULL DEFAULT 'POST';
