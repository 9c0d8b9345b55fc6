DROP INDEX tokens_expiring;
