-- What was dropped or changed for the upstream, as a list of texts; absent when nothing was. No
-- default: rows that are there are not touched.
ALTER TABLE usage ADD COLUMN warnings TEXT;
