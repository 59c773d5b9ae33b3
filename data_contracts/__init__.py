"""WHAT the data mean: study file, tables, instruments, formats, scoring."""
