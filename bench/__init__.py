"""Benchmarks of `make bench`. The service does not import this package."""
