"""Claims, criteria, verdicts and the record of what was found; standard library only, so that anything can read it."""
