DROP TABLE legacy_calls;
DROP TABLE legacy_callers;
