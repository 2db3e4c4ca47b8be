"""The web process: `granian --interface asginl asgi:app`."""

import logs
from settings import load_or_exit
from tasks import garbage
from tasks.storage.redis_connection import refuse_eviction
from web.fast_path import Front

settings = load_or_exit()
logs.configure(settings)
refuse_eviction(settings)
app = Front(settings)
# A full collection would hold up every caller for tens of milliseconds.
garbage.seldom()
