"""The web process: `granian --interface wsgi wsgi:app`."""

import logs
from settings import load_or_exit
from tasks.connection import refuse_eviction
from web.app import create_app

settings = load_or_exit()
logs.configure(settings)
refuse_eviction(settings)
app = create_app(settings)
