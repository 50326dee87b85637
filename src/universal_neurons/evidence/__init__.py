"""Claims, criteria, verdicts and evidence records; standard library only, so that any program can read them."""
