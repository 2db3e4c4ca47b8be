"""Faults caused in a whole running service, and what its callers saw: `python -m tests.faults`."""
