"""Run and demonstrate the service on one machine: `make run`, `make demo`.

The service itself does not import this package. On a fleet of hosts your process manager runs the same
commands (see `programs.py`).
"""
