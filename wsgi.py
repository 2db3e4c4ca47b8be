"""The web process: `granian --interface wsgi wsgi:app`."""

import logs
from settings import load_or_exit
from web.app import create_app

settings = load_or_exit()
logs.configure(settings)
app = create_app(settings)
