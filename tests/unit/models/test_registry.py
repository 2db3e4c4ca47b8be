"""A version that is not what its manifest says is refused, and the reason is named."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from errors import Conflict, ModelRefused, UnknownModel
from models import registry
from models.scorer import Scorer
from settings import Costs
from tests.unit.models.samples import VERSIONS


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    return Path(shutil.copytree(VERSIONS, tmp_path / "versions"))


def folder(model_dir: Path, name: str = "failure") -> Path:
    return model_dir / name / registry.active_version(model_dir, name)


def edit(model_dir: Path, change: Callable[[dict[str, Any]], object], name: str = "failure") -> None:
    path = folder(model_dir, name) / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def test_a_flipped_byte(model_dir: Path, costs: Costs) -> None:
    path = folder(model_dir) / "model.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelRefused, match=r"failure .*model\.onnx is not what the manifest says"):
        Scorer.load(model_dir, costs)


def test_a_missing_file(model_dir: Path, costs: Costs) -> None:
    (folder(model_dir) / "model.onnx").unlink()
    with pytest.raises(ModelRefused, match=r"model\.onnx cannot be read"):
        Scorer.load(model_dir, costs)


def test_a_file_nobody_listed(model_dir: Path, costs: Costs) -> None:
    (folder(model_dir) / "extra.pkl").write_bytes(b"x")
    with pytest.raises(ModelRefused, match=r"extra\.pkl is not in the manifest"):
        Scorer.load(model_dir, costs)


def test_a_swapped_model_with_a_matching_sum_fails_its_golden_rows(model_dir: Path, costs: Costs) -> None:
    def bend(manifest: dict[str, Any]) -> None:
        calibration = manifest["horizons"]["30d"]["calibration"]["with_history"]
        calibration["calibrated"] = [value + 0.5 for value in calibration["calibrated"]]

    edit(model_dir, bend)
    with pytest.raises(ModelRefused, match="golden rows score differently"):
        Scorer.load(model_dir, costs)


def test_a_model_that_is_no_onnx(model_dir: Path, costs: Costs) -> None:
    (folder(model_dir, "anomaly") / "model.onnx").write_bytes(b"not a model")
    digest = hashlib.sha256(b"not a model").hexdigest()
    edit(model_dir, lambda manifest: manifest["files"].update({"model.onnx": digest}), "anomaly")
    with pytest.raises(ModelRefused, match=r"anomaly .*model\.onnx cannot be loaded"):
        Scorer.load(model_dir, costs)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: m.update(schema=99), "schema 99"),
        (lambda m: m.update(version="other"), "is that of failure other"),
        (lambda m: m["features"].update(schema=0), "train anew"),
        (lambda m: m["features"]["names"].pop(), "train anew"),
        (lambda m: m.pop("horizons"), "incomplete"),
        (lambda m: m.pop("golden"), "golden"),
        (lambda m: m["golden"].update(rows=[]), "golden"),
        (lambda m: m["files"].update({"../../x": "0"}), "outside"),
        (lambda m: m.pop("files"), "lists no files"),
    ],
)
def test_a_manifest_that_was_changed(
    model_dir: Path, costs: Costs, change: Callable[[dict[str, Any]], object], reason: str
) -> None:
    edit(model_dir, change)
    with pytest.raises(ModelRefused, match=reason):
        Scorer.load(model_dir, costs)


def test_a_manifest_that_is_no_json(model_dir: Path, costs: Costs) -> None:
    (folder(model_dir) / "manifest.json").write_text("{")
    with pytest.raises(ModelRefused, match="is not JSON"):
        Scorer.load(model_dir, costs)


def test_no_model_at_all(tmp_path: Path, costs: Costs) -> None:
    with pytest.raises(ModelRefused, match="no active version"):
        Scorer.load(tmp_path, costs)


def test_an_active_file_that_leads_out_of_the_folder(model_dir: Path) -> None:
    (model_dir / "failure" / "ACTIVE").write_text("../anomaly/x\n")
    with pytest.raises(ModelRefused, match="not the name of a version"):
        registry.active_version(model_dir, "failure")


def test_an_unknown_name(model_dir: Path) -> None:
    with pytest.raises(UnknownModel):
        registry.active_version(model_dir, "weather")


def test_activate_and_rollback(model_dir: Path) -> None:
    first = registry.active_version(model_dir, "failure")
    loaded = registry.load(model_dir, "failure", first)
    with pytest.raises(Conflict, match="no version was active before"):
        registry.rollback(model_dir, "failure")
    manifest = {k: v for k, v in loaded.manifest.items() if k not in ("schema", "name", "version", "files")}
    registry.write(model_dir, "failure", "second", manifest, loaded.files)
    assert registry.versions(model_dir, "failure") == sorted([first, "second"])
    registry.activate(model_dir, "failure", "second")
    assert registry.active_version(model_dir, "failure") == "second"
    assert registry.rollback(model_dir, "failure") == first
    assert registry.active_version(model_dir, "failure") == first
    with pytest.raises(UnknownModel):
        registry.activate(model_dir, "failure", "third")
    with pytest.raises(ModelRefused, match="exists already"):
        registry.write(model_dir, "failure", "second", manifest, loaded.files)


def test_a_shadow_is_set_cleared_and_ends_when_it_becomes_active(model_dir: Path) -> None:
    first = registry.active_version(model_dir, "failure")
    shutil.copytree(model_dir / "failure" / first, model_dir / "failure" / "second")
    assert registry.shadow_version(model_dir, "failure") is None
    for _ in range(2):
        registry.set_shadow(model_dir, "failure", "second")
        assert registry.shadow_version(model_dir, "failure") == "second"
        registry.clear_shadow(model_dir, "failure")
        assert registry.shadow_version(model_dir, "failure") is None
    registry.set_shadow(model_dir, "failure", "second")
    registry.activate(model_dir, "failure", first)  # another one: the shadow stays
    assert registry.shadow_version(model_dir, "failure") == "second"
    registry.activate(model_dir, "failure", "second")
    assert registry.shadow_version(model_dir, "failure") is None
    with pytest.raises(Conflict):
        registry.set_shadow(model_dir, "failure", "second")
    with pytest.raises(UnknownModel):
        registry.set_shadow(model_dir, "failure", "third")
    (model_dir / "failure" / "SHADOW").write_text("../anomaly/x\n")
    with pytest.raises(ModelRefused, match="not the name of a version"):
        registry.shadow_version(model_dir, "failure")


def test_a_version_of_other_contents_has_another_identity(model_dir: Path) -> None:
    manifest = registry.read_manifest(
        folder(model_dir), folder(model_dir).parent.name + " " + folder(model_dir).name
    )
    same = json.loads(json.dumps(dict(reversed(manifest.items()))))
    assert registry.identity(same) == registry.identity(manifest)
    assert registry.identity(manifest | {"trained_on": "another fleet"}) != registry.identity(manifest)


def test_committed_versions_are_small() -> None:
    assert sum(path.stat().st_size for path in VERSIONS.rglob("*") if path.is_file()) < 5_000_000
