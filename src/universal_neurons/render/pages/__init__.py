"""The pages of the report, one module for each page or part of a page."""
