"""Artifacts of a computation: what they are called, their bytes, where they are kept, where they come from."""
