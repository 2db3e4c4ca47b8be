"""The whole API for any WSGI server: `gunicorn --worker-class gthread --threads 32 wsgi:app`.

The application is made when this module is loaded and starts threads, so that each process must load it
after it was forked (gunicorn: no `--preload`).
"""

import logs
from settings import load_or_exit
from tasks import garbage
from tasks.storage.redis_connection import refuse_eviction
from web.app import create_app
from web.http.connection import notice_signals

settings = load_or_exit()
logs.configure(settings)
refuse_eviction(settings)
app = create_app(settings)
notice_signals()
# A full collection would hold up every caller for tens of milliseconds.
garbage.seldom()
