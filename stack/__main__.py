"""`python -m stack env|run|demo|demo-clean`: the commands behind the Makefile."""

from __future__ import annotations

import argparse
import sys

from consumers.replay.arguments import count
from settings import ROOT


def main() -> int:
    """Run one command. Blocks until it ends. Returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m stack", description="The service on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("env", help="write .env with random secrets, unless there is one")
    commands.add_parser("run", help="start everything and keep it running until Ctrl-C")
    show = commands.add_parser("demo", help="show the running service at work on two fleets")
    show.add_argument("--sessions", type=count, help="only so many real sessions, the newest (default: all)")
    show.add_argument("--chargers", type=count, default=240, help="of the simulated fleet (default 240)")
    show.add_argument("--days", type=count, default=30, help="of the simulated fleet (default 30)")
    show.add_argument("--seconds", type=count, default=75, help="to replay these days in (default 75)")
    commands.add_parser("demo-clean", help="erase what the demo has made")
    arguments = parser.parse_args()
    command: str = arguments.command
    # Late imports: each command needs packages that the others do not.
    if command == "env":
        from stack.dotenv import write_if_missing

        if write_if_missing(ROOT / ".env"):
            print("Wrote .env with a random API key and a random password for Flower.")
        return 0
    if command == "run":
        from stack.run import run

        return run()
    from stack import demo

    return demo.clean() if command == "demo-clean" else demo.run(arguments)


if __name__ == "__main__":
    sys.exit(main())
