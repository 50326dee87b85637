"""The figures of the report, one module for each part of the paper."""
