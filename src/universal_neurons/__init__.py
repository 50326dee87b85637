"""The universal-neurons papers as a test suite: measured, judged and rendered again."""
