"""Reference fits of R (data, script, output) and their designs as arrays."""
