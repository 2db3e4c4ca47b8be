"""`python -m batch`: the old name of `evzone-ml batch`. It goes on working for one release."""

from __future__ import annotations

import sys

from evzone_ml_client.command.batch import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], prog="python -m batch"))
