"""Prefixes of Redis keys: the common ones, and those of a tenant."""

from __future__ import annotations


def tenant_prefix(tenant: str | None) -> str:
    """`ml:` for everybody's keys, `ml:tenant:{t}:` for a tenant's."""
    return f"ml:tenant:{tenant}:" if tenant else "ml:"
