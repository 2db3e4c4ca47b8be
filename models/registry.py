"""Model versions on disk: find, verify, load, switch. The only disk access in serving.

    MODEL_DIR/<name>/ACTIVE                  the active version's name, one line
    MODEL_DIR/<name>/PREVIOUS                the version active before, for `rollback`, one line
    MODEL_DIR/<name>/EARLIER                 the versions active before that one, newest last, one a line
    MODEL_DIR/<name>/SHADOW                  the version that scores without replying, if any
    MODEL_DIR/<name>/<version>/manifest.json features, calibration, metrics, sha256 of every other file
    MODEL_DIR/<name>/<version>/model.onnx    the graph that scores
    MODEL_DIR/<name>/<version>/trees.npz     for the reasons, in failure versions

A version is written elsewhere and then moved into place. ACTIVE and SHADOW are replaced atomically. So a
reader sees either the old version or the new one, never a mix.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from errors import Conflict, ModelRefused, UnknownModel
from models import pointer_files

NAMES: Final = ("failure", "anomaly")
# Appended to the error for an unknown name, e.g. for "maintenance".
MAINTENANCE: Final = "maintenance follows the failure model"
MANIFEST: Final = "manifest.json"
MANIFEST_SCHEMA: Final = 2  # 1 had the trees for the reasons in separate files
_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-]{0,63}")

# A version, and the size in bytes and the time of change in ns of each of its files.
FileTimes = tuple[str, frozenset[tuple[str, int, int]]]


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
        version = (model_dir / name / "ACTIVE").read_text(errors="replace").strip()
    except OSError as error:
        raise ModelRefused(f"{name}: no active version in {model_dir} ({error.strerror})") from None
    return _check_version(name, version)


def file_times(model_dir: Path, name: str) -> FileTimes:
    """The active version with the sizes and times of its files. Any change gives another one.

    Reads no file but ACTIVE. It has no files where the folder cannot be read. Raises like `active_version`.
    """
    version = active_version(model_dir, name)
    try:
        stats = [(path.name, path.stat()) for path in (model_dir / name / version).iterdir()]
    except OSError:  # `load` tells the reason
        stats = []
    return version, frozenset((file, stat.st_size, stat.st_mtime_ns) for file, stat in stats)


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


def check_new(model_dir: Path, name: str, version: str) -> Path:
    """The folder of a version that does not exist yet.

    Raises `UnknownModel`, and `ModelRefused` for a name that no version can have or one that exists.
    """
    folder = model_dir / _check_name(name) / _check_version(name, version)
    if folder.exists():
        raise ModelRefused(f"{name} {version}: exists already")
    return folder


def write(
    model_dir: Path, name: str, version: str, manifest: Mapping[str, Any], files: Mapping[str, bytes]
) -> Path:
    """Write a new version under a temporary name, then move it into place. Returns its folder.

    Raises `ModelRefused` if the version exists, `UnknownModel` for an unknown name.
    """
    folder = check_new(model_dir, name, version)
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
    before = pointer_files.read(folder / "ACTIVE")
    if before and before != [version]:
        pointer_files.push(folder, before[0])
    _switch(folder, version)


def previous_version(model_dir: Path, name: str) -> str:
    """The version that `rollback` goes to: the newest on the stack that still exists and is not active.

    Raises `Conflict` if there is none.
    """
    folder = model_dir / _check_name(name)
    active = pointer_files.read(folder / "ACTIVE")
    for version in reversed(pointer_files.stack(folder)):
        if [version] != active and _VERSION.fullmatch(version) and (folder / version / MANIFEST).is_file():
            return version
    raise Conflict(f"{name}: no version was active before this one")


def rollback(model_dir: Path, name: str, version: str | None = None) -> str:
    """Make the previously active version active again and take it off the stack; returns it.

    So each rollback goes one version further back. `version` is `previous_version` as the caller has seen
    and checked it; if that is active by now, another rollback was faster and nothing changes. Raises
    `Conflict` if there is no such version.
    """
    folder = model_dir / _check_name(name)
    if version is not None and pointer_files.read(folder / "ACTIVE") == [version]:
        return version
    found = previous_version(model_dir, name)
    if version not in (None, found):
        raise Conflict(f"{name}: the version before this one is {found} by now, not {version}")
    _switch(folder, found)
    pointer_files.pop(folder, found)
    return found


def shadow_version(model_dir: Path, name: str) -> str | None:
    """The shadow version, or None. Reads one small file.

    Raises `UnknownModel` for an unknown name, `ModelRefused` if the file contains no version name.
    """
    _check_name(name)
    try:
        return _check_version(name, (model_dir / name / "SHADOW").read_text(errors="replace").strip())
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
    pointer_files.replace(folder / "SHADOW", [version])


def clear_shadow(model_dir: Path, name: str) -> None:
    """Remove the shadow version, if any."""
    (model_dir / _check_name(name) / "SHADOW").unlink(missing_ok=True)


def _switch(folder: Path, version: str) -> None:
    pointer_files.replace(folder / "ACTIVE", [version])
    if pointer_files.read(folder / "SHADOW") == [version]:
        pointer_files.replace(folder / "SHADOW", [])


def _check_name(name: str) -> str:
    if name not in NAMES:
        raise UnknownModel(f"{name[:80]}: no such model, there are {', '.join(NAMES)}; {MAINTENANCE}")
    return name


def _check_version(name: str, version: str) -> str:
    if not _VERSION.fullmatch(version):
        raise ModelRefused(f"{name}: {version[:80]!r} is not the name of a version")
    return version
