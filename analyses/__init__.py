"""WHICH questions are asked: pure functions, frames in, result rows out."""
