"""Inputs of the measurements: suites of settings, a zoo of models, a corpus of tokens."""
