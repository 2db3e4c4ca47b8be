"""Settings of gunicorn, which reads this file from its working folder. Its command line takes precedence."""

from __future__ import annotations

import os
import sys
from typing import Any, Final

from settings import load_or_exit
from settings.tls_files import refuse_unusable_tls
from tasks.storage.redis_connection import refuse_eviction

# gunicorn's control socket is shared by all servers of a user.
control_socket_disable: Final = True

_settings = load_or_exit()
refuse_unusable_tls(_settings)
certfile: Final = _settings.tls_certfile or None
keyfile: Final = _settings.tls_keyfile or None


def on_starting(server: Any) -> None:
    """Exit with code 2 for wrong settings. Otherwise each worker would fail and gunicorn would restart it
    forever.

    Sets `WEB_THREADS`: the application keeps some threads free while the others wait.
    """
    if server.cfg.preload_app:
        sys.stderr.write(
            "Wrong setting: --preload: the application starts threads, which do not survive a fork\n"
        )
        raise SystemExit(2)
    os.environ["WEB_THREADS"] = str(server.cfg.threads)
    refuse_eviction(load_or_exit())
