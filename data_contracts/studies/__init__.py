"""Ready study files."""
