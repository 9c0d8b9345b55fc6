UPDATE revision SET value = 23757118;
