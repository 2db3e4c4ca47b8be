"""The servers that the service is measured against. Each runs in a virtual environment of its own."""
