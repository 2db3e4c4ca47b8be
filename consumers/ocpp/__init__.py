"""From OCPP events to readings: `envelope` and `messages` say what an event tells, `charge_point` remembers
the newest word on everything, `merge` makes a reading of it, `translation` is the loop's work."""
