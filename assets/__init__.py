"""Thin Dagster functions by layer: raw, core, out, notebooks."""
