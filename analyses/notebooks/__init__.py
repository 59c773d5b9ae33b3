"""Students' notebooks: percent scripts, run as assets, no outputs kept."""
