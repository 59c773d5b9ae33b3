"""Unit tests: one module of the house each, no Dagster, no browser."""
