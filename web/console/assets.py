"""Scripts, styles and pictures of the console, as `make assets` built them. All are served from memory."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path
from typing import Final, NamedTuple

from flask import Blueprint, url_for

from errors import NotFound
from web.http.messages import Response, current_request

FOLDER: Final = Path(__file__).resolve().parent / "static"
TYPES: Final = {".css": "text/css; charset=utf-8", ".js": "text/javascript", ".svg": "image/svg+xml"}
YEAR_S: Final = 365 * 86_400

blueprint = Blueprint("console_assets", __name__)


class Asset(NamedTuple):
    """A file: its content, plain and compressed, and the digest that its address carries."""

    content_type: str
    plain: bytes
    compressed: bytes
    digest: str


def _read(path: Path) -> Asset:
    plain = path.read_bytes()
    digest = hashlib.sha256(plain).hexdigest()[:12]
    return Asset(TYPES[path.suffix], plain, gzip.compress(plain, mtime=0), digest)


_ASSETS: Final = {path.name: _read(path) for path in sorted(FOLDER.iterdir()) if path.suffix in TYPES}


def address_of(name: str) -> str:
    """The path of an asset, which changes with its content. Raises `KeyError` for one that was not built."""
    return url_for("console_assets.show_asset", name=name, v=_ASSETS[name].digest)


@blueprint.get("/assets/<name>")
def show_asset(name: str) -> Response:
    """A script, style or picture. Needs no key."""
    asset = _ASSETS.get(name)
    if asset is None:
        raise NotFound(f"No asset {name}.")
    request = current_request()
    is_compressed = request.accept_encodings["gzip"] > 0
    response = Response(asset.compressed if is_compressed else asset.plain, content_type=asset.content_type)
    if is_compressed:
        response.content_encoding = "gzip"
    response.vary.add("Accept-Encoding")
    # Without its digest the address means the newest file: pictures within styles.
    is_named = request.args.get("v") == asset.digest
    response.cache_control.public = True
    response.cache_control.max_age = YEAR_S if is_named else 3_600
    response.cache_control.immutable = is_named
    return response
