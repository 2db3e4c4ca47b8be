"""Translate OCPP events into readings.

`envelope` and `messages` decode an event, `charge_point` holds the newest values, `merge` creates a reading
from them, and `translation` connects these steps to the consumer loop.
"""
