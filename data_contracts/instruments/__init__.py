"""Shipped instruments, one YAML per version; ``instrument`` loads them."""
