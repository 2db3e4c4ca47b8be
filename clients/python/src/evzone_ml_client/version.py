"""The package's version, which is in its name and in each request."""

from typing import Final

__version__: Final = "0.1.0"
