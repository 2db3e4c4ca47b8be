"""Version of the package, for its metadata and the User-Agent header."""

from typing import Final

__version__: Final = "0.1.0"
