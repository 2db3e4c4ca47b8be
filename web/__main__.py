"""`python -m web`: print `/openapi.json` without a running service."""

from __future__ import annotations

import sys

from settings import load_or_exit
from web.app import create_app
from web.http.services import EXTENSION


def main() -> int:
    """Write the OpenAPI document to standard output. Returns the exit code."""
    app = create_app(load_or_exit())
    sys.stdout.write(app.test_client().get("/openapi.json").get_data(as_text=True))
    app.extensions[EXTENSION].close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
