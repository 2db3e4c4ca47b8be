"""Real charging sessions that `make demo` replays; README.md beside this file says whose they are."""
