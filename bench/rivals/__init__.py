"""Rivals of the service in benchmarks. Each runs in a virtual environment of its own."""
