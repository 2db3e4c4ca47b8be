"""`python -m stack env|run|demo`: the commands behind the Makefile."""

from __future__ import annotations

import argparse
import sys

from settings import ROOT


def main() -> int:
    """Run one command. Blocks until it ends. Returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m stack", description="The service on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("env", help="write .env with random secrets, unless there is one")
    commands.add_parser("run", help="start everything and keep it running until Ctrl-C")
    commands.add_parser("demo", help="show the running service at work on real charging sessions")
    command: str = parser.parse_args().command
    # Late imports: each command needs packages that the others do not.
    if command == "env":
        from stack.dotenv import write_if_missing

        if write_if_missing(ROOT / ".env"):
            print("Wrote .env with a random API key and a random password for Flower.")
        return 0
    if command == "run":
        from stack.run import run

        return run()
    from stack.demo import demo

    return demo()


if __name__ == "__main__":
    sys.exit(main())
