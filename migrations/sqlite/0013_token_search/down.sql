DROP INDEX tokens_never_used;
DROP INDEX tokens_by_value_age;
