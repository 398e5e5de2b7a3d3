-- What a row that was put aside is charged to, as `usage.charges` has it, and how much each of that was charged.
-- Absent of rows that were charged to nothing.
ALTER TABLE usage_quarantine ADD COLUMN charges JSONB;
ALTER TABLE usage_quarantine ADD COLUMN charged_nano BIGINT;
