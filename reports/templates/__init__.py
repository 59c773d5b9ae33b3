"""Templates of the report: one page, its style and its script."""
