"""Tests: what each folder is for stands in its own first lines."""
