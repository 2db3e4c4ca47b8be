"""Parsers of settings that are more than a number or a text."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

from settings.fields import ROLES, ROOT, ApiKey


def path_of(text: str) -> Path:
    """A path; a relative one starts at the project's folder."""
    path = Path(text)
    return path if path.is_absolute() else ROOT / path


def file_of(text: str) -> str:
    """The absolute path of a file, as text. Programs run in several folders."""
    return str(path_of(text)) if text else ""


def networks_of(name: str, text: str, problems: list[str]) -> tuple[IPv4Network | IPv6Network, ...]:
    """Networks and addresses, separated by commas. A wrong one adds a line to `problems`."""
    networks = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        try:
            networks.append(ip_network(part))
        except ValueError:
            problems.append(f"{name}: {part!r} must be an address, or a network like 10.0.0.0/8")
    return tuple(networks)


def api_keys_of(text: str, problems: list[str]) -> tuple[ApiKey, ...]:
    """Keys of `KEY[:ROLE],…`. A key may be repeated with different roles. Adds lines to `problems`."""
    roles_by_key: dict[str, set[str]] = {}
    for number, part in enumerate(filter(None, (piece.strip() for piece in text.split(","))), start=1):
        key, colon, role = part.partition(":")
        if not key or not key.isascii() or (colon and role not in ROLES):
            problems.append(
                f"ML_SERVICE_API_KEY: entry {number} must be KEY or KEY:ROLE (roles: {', '.join(ROLES)})"
            )
            continue
        roles_by_key.setdefault(key, set()).update([role] if colon else ROLES)
    return tuple(ApiKey(key, frozenset(roles)) for key, roles in roles_by_key.items())
