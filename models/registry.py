"""Versions on disk: find, verify, load, switch. The only disk access in serving.

    MODEL_DIR/<name>/ACTIVE                  the active version's name, one line
    MODEL_DIR/<name>/PREVIOUS                the one before it, for `rollback`
    MODEL_DIR/<name>/SHADOW                  a version that scores beside it without answering, if any
    MODEL_DIR/<name>/<version>/manifest.json features, calibration, metrics, sha256 of every other file
    MODEL_DIR/<name>/<version>/model.onnx    the graph that scores

A version is written elsewhere and moved into place; ACTIVE and SHADOW are replaced atomically, so that a
reader sees the old version or the new one and never half of either.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from errors import Conflict, ModelRefused, UnknownModel

NAMES: Final = ("failure", "anomaly")
# For whoever looks for the third.
MAINTENANCE: Final = "maintenance follows the failure model"
MANIFEST: Final = "manifest.json"
MANIFEST_SCHEMA: Final = 2  # 1 had the trees behind the reasons in files of their own
_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-]{0,63}")


@dataclass(frozen=True, slots=True)
class Version:
    """A version whose files are what its manifest says, in memory."""

    name: str
    version: str
    manifest: dict[str, Any]
    files: dict[str, bytes]


def active_version(model_dir: Path, name: str) -> str:
    """The active version of one model. Reads one small file.

    Raises `UnknownModel` for a name that is none, `ModelRefused` where no version is active.
    """
    _check_name(name)
    try:
        version = (model_dir / name / "ACTIVE").read_text().strip()
    except OSError as error:
        raise ModelRefused(f"{name}: no active version in {model_dir} ({error.strerror})") from None
    return _check_version(name, version)


def versions(model_dir: Path, name: str) -> list[str]:
    """All versions of one model, oldest name first."""
    _check_name(name)
    folder = model_dir / name
    if not folder.is_dir():
        return []
    return sorted(p.name for p in folder.iterdir() if (p / MANIFEST).is_file() and _VERSION.fullmatch(p.name))


def load(model_dir: Path, name: str, version: str) -> Version:
    """Read a version and check every file against the manifest.

    Raises `UnknownModel` where there is no such version, `ModelRefused` with the reason where its files
    are missing, changed, unlisted or of another schema.
    """
    folder = model_dir / _check_name(name) / _check_version(name, version)
    label = f"{name} {version}"
    if not folder.is_dir():
        raise UnknownModel(f"{label}: no such version")
    manifest = read_manifest(folder, label)
    listed = manifest["files"]
    found = {path.name for path in folder.iterdir() if path.name != MANIFEST}
    if unlisted := sorted(found - set(listed)):
        raise ModelRefused(f"{label}: {unlisted[0]} is not in the manifest")
    files: dict[str, bytes] = {}
    for file, expected in listed.items():
        try:
            content = (folder / file).read_bytes()
        except OSError as error:
            raise ModelRefused(f"{label}: {file} cannot be read ({error.strerror})") from None
        if hashlib.sha256(content).hexdigest() != expected:
            raise ModelRefused(f"{label}: {file} is not what the manifest says (sha256 differs)")
        files[file] = content
    return Version(name, version, manifest, files)


def read_manifest(folder: Path, label: str) -> dict[str, Any]:
    """The manifest, if it is one and belongs to this folder. Raises `ModelRefused`."""
    try:
        manifest = orjson.loads((folder / MANIFEST).read_bytes())
    except OSError as error:
        raise ModelRefused(f"{label}: {MANIFEST} cannot be read ({error.strerror})") from None
    except orjson.JSONDecodeError as error:
        raise ModelRefused(f"{label}: {MANIFEST} is not JSON ({error})") from None
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise ModelRefused(f"{label}: {MANIFEST} lists no files")
    if manifest.get("schema") != MANIFEST_SCHEMA:
        raise ModelRefused(
            f"{label}: manifest schema {manifest.get('schema')}, this release reads {MANIFEST_SCHEMA}; "
            "train the version with this release"
        )
    if f"{manifest.get('name')} {manifest.get('version')}" != label:
        raise ModelRefused(
            f"{label}: the manifest is that of {manifest.get('name')} {manifest.get('version')}"
        )
    if not all(isinstance(file, str) and Path(file).name == file for file in manifest["files"]):
        raise ModelRefused(f"{label}: {MANIFEST} names a file outside the version's folder")
    return manifest


def write(
    model_dir: Path, name: str, version: str, manifest: Mapping[str, Any], files: Mapping[str, bytes]
) -> Path:
    """Write a new version, complete under a hidden name first, then moved.

    Raises `ModelRefused` if it exists.
    """
    folder = model_dir / _check_name(name) / _check_version(name, version)
    if folder.exists():
        raise ModelRefused(f"{name} {version}: exists already")
    folder.parent.mkdir(parents=True, exist_ok=True)
    complete = {
        "schema": MANIFEST_SCHEMA,
        "name": name,
        "version": version,
        **manifest,
        "files": {file: hashlib.sha256(content).hexdigest() for file, content in sorted(files.items())},
    }
    with tempfile.TemporaryDirectory(prefix=".new-", dir=folder.parent) as scratch:
        ready = Path(scratch) / version
        ready.mkdir()
        for file, content in files.items():
            (ready / file).write_bytes(content)
        options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY
        (ready / MANIFEST).write_bytes(orjson.dumps(complete, option=options))
        ready.rename(folder)
    return folder


def identity(manifest: Mapping[str, Any]) -> str:
    """A version's name, and a sum of its manifest: what is counted for it is no other's of that name."""
    content = orjson.dumps(manifest, option=orjson.OPT_SORT_KEYS)
    return f"{manifest['version']}:{hashlib.sha256(content).hexdigest()[:12]}"


def activate(model_dir: Path, name: str, version: str) -> None:
    """Make a version the active one; if it was the shadow, there is none any more.

    The caller has checked that it loads.
    """
    folder = model_dir / _check_name(name)
    if not (folder / _check_version(name, version) / MANIFEST).is_file():
        raise UnknownModel(f"{name} {version}: no such version")
    current = folder / "ACTIVE"
    before = current.read_text().strip() if current.is_file() else ""
    if before and before != version:
        _replace(folder / "PREVIOUS", before)
    _replace(current, version)
    shadow = folder / "SHADOW"
    if shadow.is_file() and shadow.read_text().strip() == version:
        shadow.unlink()


def previous_version(model_dir: Path, name: str) -> str:
    """The version that was active before. Raises `Conflict` if there is none."""
    previous = model_dir / _check_name(name) / "PREVIOUS"
    if not previous.is_file():
        raise Conflict(f"{name}: no version was active before this one")
    return _check_version(name, previous.read_text().strip())


def rollback(model_dir: Path, name: str) -> str:
    """Make the previously active version active again; returns it. Raises `Conflict` if there is none."""
    version = previous_version(model_dir, name)
    activate(model_dir, name, version)
    return version


def shadow_version(model_dir: Path, name: str) -> str | None:
    """The version that scores beside the active one without answering. Reads one small file, if there is one.

    Raises `UnknownModel` for a name that is none, `ModelRefused` where the file names no version.
    """
    _check_name(name)
    try:
        return _check_version(name, (model_dir / name / "SHADOW").read_text().strip())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ModelRefused(f"{name}: SHADOW in {model_dir} cannot be read ({error.strerror})") from None


def set_shadow(model_dir: Path, name: str, version: str) -> None:
    """Have a version score beside the active one. The caller has checked that it loads.

    Raises `UnknownModel` if there is no such version, `Conflict` if it is the active one.
    """
    folder = model_dir / _check_name(name)
    if not (folder / _check_version(name, version) / MANIFEST).is_file():
        raise UnknownModel(f"{name} {version}: no such version")
    if version == active_version(model_dir, name):
        raise Conflict(f"{name} {version}: it is the active version, and would be compared with itself")
    _replace(folder / "SHADOW", version)


def clear_shadow(model_dir: Path, name: str) -> None:
    """Have none beside the active version. Does nothing where there is none."""
    (model_dir / _check_name(name) / "SHADOW").unlink(missing_ok=True)


def _replace(path: Path, text: str) -> None:
    handle, scratch = tempfile.mkstemp(prefix=".new-", dir=path.parent)
    with os.fdopen(handle, "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.chmod(scratch, 0o644)  # a shared volume is read by other users
    os.replace(scratch, path)


def _check_name(name: str) -> str:
    if name not in NAMES:
        raise UnknownModel(f"{name[:80]}: no such model, there are {', '.join(NAMES)}; {MAINTENANCE}")
    return name


def _check_version(name: str, version: str) -> str:
    if not _VERSION.fullmatch(version):
        raise ModelRefused(f"{name}: {version[:80]!r} is not the name of a version")
    return version
