"""Real charging sessions for `make demo`. Their origin is in README.md beside this file."""
