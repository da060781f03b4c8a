-- Pushes to one repository should not conflict. On PostgreSQL a statement that finds a row by an index conflicts with each that
-- writes into that part of the index; an update writes into every index of its table, unless no indexed column changes and the
-- row's page has room for the new version. Each push's first reference to a layer changes these two tables so.
DROP INDEX layer_unreferenced;
--postgresql ALTER TABLE layer SET (fillfactor = 60);
--postgresql ALTER TABLE repository_layer SET (fillfactor = 60);
