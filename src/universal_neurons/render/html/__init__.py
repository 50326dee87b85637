"""HTML pages from the generated source, and the checks of the result."""
