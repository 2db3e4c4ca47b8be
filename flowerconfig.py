"""Settings of Flower, which reads this file from its working folder. Its command line takes precedence.

Start `celery flower` in this folder, without -A. It reads names, queues and states from events. It is bound
to this host and read-only, because its API could otherwise run any task.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from celery import current_app

# Flower runs this text; `celery flower` does not look into its working folder by itself.
sys.path.insert(0, str(Path(__file__).parent))

from settings import load_or_exit

settings = load_or_exit()
if not settings.flower_basic_auth:
    sys.stderr.write(
        "Wrong setting: FLOWER_BASIC_AUTH: must be set, as user:password, for Flower shows every task\n"
    )
    raise SystemExit(2)

# In place of celeryconfig.py, whose tasks load the models: they cost 45 MB.
current_app.config_from_object(
    {
        "broker_url": settings.redis_url,
        # The page of the broker reads this, and not the parameters of the address.
        "broker_use_ssl": dict(parse_qsl(urlsplit(settings.redis_url).query)) or False,
        "broker_connection_retry_on_startup": True,
        "accept_content": ["json"],
    }
)

basic_auth: Final = settings.flower_basic_auth.split(",")
read_only: Final = True
address: Final = "127.0.0.1"
port: Final = settings.flower_port
max_tasks: Final = 5_000  # the default of 100,000 costs hundreds of MB
purge_offline_workers: Final = 60  # seconds
# routing_key is the queue.
tasks_columns: Final = "name,routing_key,state,worker,received,started,runtime,uuid"
