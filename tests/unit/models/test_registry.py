"""A version that is not what its manifest says is refused, and the reason is named."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from errors import Conflict, ModelRefused, UnknownModel
from models import pointer_files, registry
from models.scorer import Scorer, failure_model
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


@pytest.mark.owasp("API10", "a changed model file is refused by its checksum")
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


@pytest.mark.owasp("API10", "a model folder with an unlisted file (a pickle) is refused")
def test_a_file_nobody_listed(model_dir: Path, costs: Costs) -> None:
    (folder(model_dir) / "extra.pkl").write_bytes(b"x")
    with pytest.raises(ModelRefused, match=r"extra\.pkl is not in the manifest"):
        Scorer.load(model_dir, costs)


@pytest.mark.owasp("API10", "a model that scores its reference rows differently is refused")
def test_a_swapped_model_with_a_matching_sum_fails_its_golden_rows(model_dir: Path, costs: Costs) -> None:
    def bend(manifest: dict[str, Any]) -> None:
        calibration = manifest["horizons"]["30d"]["calibration"]["with_history"]
        calibration["calibrated"] = [value + 0.5 for value in calibration["calibrated"]]

    edit(model_dir, bend)
    with pytest.raises(ModelRefused, match="golden rows score differently"):
        Scorer.load(model_dir, costs)


@pytest.mark.owasp("API10", "a model file that is not ONNX is refused")
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
        (lambda m: m.pop("base_rate"), "incomplete"),
        (lambda m: m["base_rate"].pop("30d"), "incomplete"),
        (lambda m: m.pop("trained_on"), "has no trained_on"),
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


def test_a_version_that_cannot_serve_is_refused_before_it_is_active(model_dir: Path) -> None:
    """`verify` builds the model alone."""
    edit(model_dir, lambda manifest: manifest.pop("base_rate"))
    version = registry.load(model_dir, "failure", folder(model_dir).name)
    with pytest.raises(ModelRefused, match="incomplete"):
        failure_model(version)


def test_a_manifest_that_is_no_json(model_dir: Path, costs: Costs) -> None:
    (folder(model_dir) / "manifest.json").write_text("{")
    with pytest.raises(ModelRefused, match="is not JSON"):
        Scorer.load(model_dir, costs)


def test_no_model_at_all(tmp_path: Path, costs: Costs) -> None:
    with pytest.raises(ModelRefused, match="no active version"):
        Scorer.load(tmp_path, costs)


@pytest.mark.owasp("API10", "a pointer that leads out of the model folder is refused")
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


@pytest.fixture
def many(model_dir: Path) -> Path:
    """The model folder, with versions `b`, `c` and `d` that were activated in turn after `a`."""
    failure = model_dir / "failure"
    (failure / registry.active_version(model_dir, "failure")).rename(failure / "a")
    (failure / "ACTIVE").write_text("a\n")
    for version in "bcd":
        shutil.copytree(failure / "a", failure / version)
        registry.activate(model_dir, "failure", version)
    return model_dir


def back(model_dir: Path) -> list[str]:
    """The versions that rollbacks go to, until there is none."""
    found: list[str] = []
    while True:
        try:
            found.append(registry.rollback(model_dir, "failure"))
        except Conflict:
            return found
        assert registry.active_version(model_dir, "failure") == found[-1]


def test_each_rollback_goes_one_version_further_back(many: Path) -> None:
    assert back(many) == ["c", "b", "a"]
    assert not (many / "failure" / "PREVIOUS").exists()
    assert not (many / "failure" / "EARLIER").exists()


def test_a_version_activated_after_a_rollback_is_left_to_the_one_before_it(many: Path) -> None:
    assert registry.rollback(many, "failure") == "c"
    registry.activate(many, "failure", "d")
    registry.activate(many, "failure", "d")  # the same again is no step
    assert back(many) == ["c", "b", "a"]


def test_the_file_that_release_1_reads_names_the_version_before(many: Path) -> None:
    previous = many / "failure" / "PREVIOUS"
    assert previous.read_text() == "c\n"
    registry.rollback(many, "failure")
    assert previous.read_text() == "b\n"


def test_a_version_that_was_active_before_there_was_a_stack_is_gone_back_to(many: Path) -> None:
    (many / "failure" / "EARLIER").unlink()
    assert back(many) == ["c"]


def test_an_activation_and_a_rollback_by_release_1_are_gone_back_from(many: Path) -> None:
    failure = many / "failure"
    # It knows ACTIVE and PREVIOUS: here it activates `a`, and elsewhere rolls back to what PREVIOUS says.
    (failure / "PREVIOUS").write_text("d\n")
    (failure / "ACTIVE").write_text("a\n")
    assert registry.rollback(many, "failure") == "d"
    assert registry.rollback(many, "failure") == "b"
    (failure / "PREVIOUS").write_text("b\n")
    (failure / "ACTIVE").write_text("a\n")
    assert registry.rollback(many, "failure") == "b"


def test_versions_that_are_gone_or_damaged_names_are_passed_over(many: Path) -> None:
    shutil.rmtree(many / "failure" / "c")
    (many / "failure" / "EARLIER").write_text("a\nb\n../../etc\n")
    assert back(many) == ["b", "a"]


def test_two_rollbacks_to_the_same_version_at_once_are_one(many: Path) -> None:
    assert registry.rollback(many, "failure", "c") == "c"
    assert registry.rollback(many, "failure", "c") == "c"
    assert registry.previous_version(many, "failure") == "b"
    with pytest.raises(Conflict, match="is b by now"):
        registry.rollback(many, "failure", "d")


@pytest.mark.parametrize("writes", range(4))
def test_a_crash_between_two_files_loses_no_version(
    many: Path, writes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, left = pointer_files.replace, [writes]

    def crash(path: Path, names: Sequence[str]) -> None:
        if not left[0]:
            raise InterruptedError
        left[0] -= 1
        replace(path, names)

    for switch in (
        lambda: registry.activate(many, "failure", "b"),
        lambda: registry.rollback(many, "failure"),
    ):
        left[0] = writes
        with monkeypatch.context() as patch, contextlib.suppress(InterruptedError):
            patch.setattr(pointer_files, "replace", crash)
            switch()
    reached = {registry.active_version(many, "failure"), *back(many)}
    assert reached >= {"a", "b", "c"}


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
