"""The PDF of the report, set from its pages."""
