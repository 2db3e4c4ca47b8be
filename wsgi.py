"""The whole API for any WSGI server: `gunicorn --worker-class gthread --threads 32 wsgi:app`.

The application is created when this module is loaded, and starts threads. Each process must load it after the
fork (gunicorn: no `--preload`).
"""

import tracing
from process import collect_garbage_seldom, configure_logging, limit_memory
from settings import load_or_exit
from tasks.storage.redis_connection import refuse_eviction
from web.app import create_app, serve_admin_port
from web.http.connection import notice_signals

settings = load_or_exit()
configure_logging(settings)
limit_memory(settings)
refuse_eviction(settings)
tracing.start(settings, "web")
app = create_app(settings)
serve_admin_port(app)
notice_signals()
# A full collection delays every caller by tens of milliseconds.
collect_garbage_seldom()
