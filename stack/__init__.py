"""How the service is run and shown on one machine: `make run`, `make demo`.

Nothing in the service imports this package; on a fleet of hosts its commands (see `processes.py`) are
started by whatever runs your other services.
"""
