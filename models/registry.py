"""Model versions on disk: find, verify, load, switch. The only disk access in serving.

    MODEL_DIR/<name>/ACTIVE                  the active version's name, one line
    MODEL_DIR/<name>/PREVIOUS                the version active before, for `rollback`
    MODEL_DIR/<name>/SHADOW                  the version that scores without replying, if any
    MODEL_DIR/<name>/<version>/manifest.json features, calibration, metrics, sha256 of every other file
    MODEL_DIR/<name>/<version>/model.onnx    the graph that scores

A version is written elsewhere and then moved into place. ACTIVE and SHADOW are replaced atomically. So a
reader sees either the old version or the new one, never a mix.
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
# Appended to the error for an unknown name, e.g. for "maintenance".
MAINTENANCE: Final = "maintenance follows the failure model"
MANIFEST: Final = "manifest.json"
MANIFEST_SCHEMA: Final = 2  # 1 had the trees for the reasons in separate files
_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-]{0,63}")


@dataclass(frozen=True, slots=True)
class Version:
    """A version in memory whose files match its manifest."""

    name: str
    version: str
    manifest: dict[str, Any]
    files: dict[str, bytes]


def active_version(model_dir: Path, name: str) -> str:
    """The active version of a model. Reads one small file.

    Raises `UnknownModel` for an unknown name, `ModelRefused` if no version is active.
    """
    _check_name(name)
    try:
        version = (model_dir / name / "ACTIVE").read_text().strip()
    except OSError as error:
        raise ModelRefused(f"{name}: no active version in {model_dir} ({error.strerror})") from None
    return _check_version(name, version)


def versions(model_dir: Path, name: str) -> list[str]:
    """All versions of a model, sorted by name. Raises `UnknownModel`."""
    _check_name(name)
    folder = model_dir / name
    if not folder.is_dir():
        return []
    return sorted(p.name for p in folder.iterdir() if (p / MANIFEST).is_file() and _VERSION.fullmatch(p.name))


def load(model_dir: Path, name: str, version: str) -> Version:
    """Read a version and check every file against the manifest.

    Raises `UnknownModel` if the version does not exist. Raises `ModelRefused` with the reason if files are
    missing, changed, unlisted or of another schema.
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
    """Read the manifest and check that it belongs to this folder. Raises `ModelRefused`."""
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
    """Write a new version under a temporary name, then move it into place. Returns its folder.

    Raises `ModelRefused` if the version exists, `UnknownModel` for an unknown name.
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
    """A version's name with a hash of its manifest, so that counts of different contents stay separate."""
    content = orjson.dumps(manifest, option=orjson.OPT_SORT_KEYS)
    return f"{manifest['version']}:{hashlib.sha256(content).hexdigest()[:12]}"


def activate(model_dir: Path, name: str, version: str) -> None:
    """Make a version active. If it was the shadow, the shadow is removed.

    The caller must have verified it. Raises `UnknownModel` if there is no such version.
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
    """Activate the previously active version and return it. Raises `Conflict` if there is none."""
    version = previous_version(model_dir, name)
    activate(model_dir, name, version)
    return version


def shadow_version(model_dir: Path, name: str) -> str | None:
    """The shadow version, or None. Reads one small file.

    Raises `UnknownModel` for an unknown name, `ModelRefused` if the file contains no version name.
    """
    _check_name(name)
    try:
        return _check_version(name, (model_dir / name / "SHADOW").read_text().strip())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ModelRefused(f"{name}: SHADOW in {model_dir} cannot be read ({error.strerror})") from None


def set_shadow(model_dir: Path, name: str, version: str) -> None:
    """Make a version the shadow. The caller must have verified it.

    Raises `UnknownModel` if there is no such version, `Conflict` if it is the active one.
    """
    folder = model_dir / _check_name(name)
    if not (folder / _check_version(name, version) / MANIFEST).is_file():
        raise UnknownModel(f"{name} {version}: no such version")
    if version == active_version(model_dir, name):
        raise Conflict(f"{name} {version}: it is the active version, and would be compared with itself")
    _replace(folder / "SHADOW", version)


def clear_shadow(model_dir: Path, name: str) -> None:
    """Remove the shadow version, if any."""
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
