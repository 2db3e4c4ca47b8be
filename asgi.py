"""The web process's ASGI application: `granian --interface asginl asgi:app`."""

import tracing
from process import allow_open_files, collect_garbage_seldom, configure_logging, limit_memory
from settings import load_or_exit
from settings.tls_files import refuse_unusable_tls
from tasks.storage.redis_connection import refuse_eviction
from web.app import serve_admin_port
from web.fast_path import FastPath

settings = load_or_exit()
configure_logging(settings)
refuse_unusable_tls(settings)
limit_memory(settings)
refuse_eviction(settings)
tracing.start(settings, "web")
allow_open_files(settings.web_max_connections)
app = FastPath(settings)
serve_admin_port(app.flask)
# A full collection delays every caller by tens of milliseconds.
collect_garbage_seldom()
