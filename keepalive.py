"""Options of TCP sockets with which the kernel ends a connection whose peer has vanished without a word.

A host that loses power, or a firewall that forgets a connection, sends neither FIN nor RST. With Linux'
defaults a reader notices that after two hours, and a writer after a quarter of an hour.
"""

from __future__ import annotations

import socket
from typing import Final

VANISHED_AFTER_S: Final = 4
PROBES: Final = 2

# Some systems lack some of them.
_WANTED: Final = {
    "TCP_KEEPIDLE": VANISHED_AFTER_S - PROBES,
    "TCP_KEEPINTVL": 1,
    "TCP_KEEPCNT": PROBES,
    "TCP_USER_TIMEOUT": VANISHED_AFTER_S * 1000,  # for bytes that are not acknowledged
}
# Values of options of `IPPROTO_TCP`. They count on a socket with `SO_KEEPALIVE`.
TCP_OPTIONS: Final[dict[int, int]] = {
    getattr(socket, name): value for name, value in _WANTED.items() if hasattr(socket, name)
}
