"""Numbers with intervals, from tables: what a claim may ask."""
