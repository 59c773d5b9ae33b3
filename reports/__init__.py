"""HOW it is told: figures, pages and bundles, from released values only."""
