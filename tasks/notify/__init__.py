"""Outbound webhooks: events, the outbox in Redis, and their delivery to other systems."""
