"""Measures: numbers with intervals, from tables, for claims and figures."""
