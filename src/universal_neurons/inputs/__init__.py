"""What the measurements are about: suites of settings, a zoo of models, a corpus of tokens."""
