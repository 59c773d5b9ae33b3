"""How fast and with how much memory; run with the slow tests."""
