"""The commands of `python -m models`, from parsed arguments to printed output.

Each imports its libraries itself, so that `list` does not load scikit-learn. They raise `ServiceError` and
`ValueError` with a message for the user.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import orjson

from errors import ServiceError

# Steps of training that report their progress.
STEPS = {"failure": 16, "anomaly": 2}


class WrongUsage(ServiceError):
    """Raised before any work for arguments that it would fail with: says which and why."""

    code = "wrong_usage"


def _check_folder(folder: Path) -> None:
    """Raise `WrongUsage` unless files can be written into `folder`, or it can be made.

    Leaves nothing behind. A permission bit would not tell: root has all, also on a read-only file system.
    """
    try:
        if folder.exists() and not folder.is_dir():
            raise WrongUsage(f"{folder} is not a folder")
        there = folder
        while not there.exists():
            there = there.parent
        with tempfile.TemporaryDirectory(prefix=".new-", dir=there):
            pass
    except OSError as error:
        raise WrongUsage(f"{folder} cannot be written ({error.strerror})") from None


def _check_file(file: Path) -> None:
    """Raise `WrongUsage` unless `file` can be written. Its folder has to exist. Leaves nothing behind."""
    if file.is_dir():
        raise WrongUsage(f"{file} is a folder, not a file")
    if not file.parent.is_dir():
        raise WrongUsage(f"{file}: there is no folder {file.parent}")
    if not file.exists():
        _check_folder(file.parent)
    elif not os.access(file, os.W_OK):
        raise WrongUsage(f"{file} cannot be written")


def _check_window(chosen: argparse.Namespace) -> None:
    """Raise `WrongUsage` for a window that ends before it begins."""
    if chosen.since and chosen.to and chosen.to < chosen.since:
        raise WrongUsage(f"--to {chosen.to} is before --from {chosen.since}")


@contextmanager
def _shown(name: str, steps: int) -> Iterator[Callable[[str], None]]:
    """A progress bar on a terminal, or one line per step in a log."""
    if not sys.stderr.isatty():
        yield partial(_print_line, name)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    parts = TextColumn(f"{name}: {{task.description}}"), BarColumn(), TimeElapsedColumn()
    with Progress(*parts, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=steps)

        def step(text: str) -> None:
            bar.update(task, description=text, advance=1)

        yield step


def _print_line(name: str, step: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {name}: {step}", file=sys.stderr, flush=True)


def run_simulate(chosen: argparse.Namespace) -> None:
    """Simulate a fleet and write its history to `--out`."""
    _check_folder(chosen.out)
    from models.simulation.simulate import description, simulate
    from models.training.history import ABOUT

    fleet = simulate(chosen.chargers, chosen.days, chosen.seed)
    fleet.write(chosen.out, suffix=chosen.format)
    about = {"description": description(chosen.chargers, chosen.days, chosen.seed), "simulated": True}
    (chosen.out / ABOUT).write_bytes(orjson.dumps(about, option=orjson.OPT_INDENT_2))
    print(f"{chosen.out}: {len(fleet.readings)} readings, {len(fleet.failures)} failures")


def run_train(chosen: argparse.Namespace) -> None:
    """Train versions on a history, verify them and, with `--activate`, activate them."""
    from models import registry

    names = [name for name in registry.NAMES if chosen.model in (name, "all")]
    version = chosen.version or f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    for name in names:
        _check_folder(chosen.model_dir / name)
        try:
            registry.check_new(chosen.model_dir, name, version)
        except ServiceError as error:
            raise WrongUsage(str(error)) from None
    from models.evaluation.training_period import InSample, overlap
    from models.scorer import anomaly_model, failure_model
    from models.training import base_version
    from models.training.history import load, origin
    from models.training.history_table import NoReadings
    from models.training.horizons import TooLittleHistory, carried, too_little
    from models.training.train_anomaly import train_anomaly
    from models.training.train_failure import train_failure

    base = base_version.find(chosen.model_dir, chosen.from_version) if "failure" in names else None
    named = base.model.spec.vocabulary if base else ()
    try:
        history = load(chosen.history, mapping=dict(chosen.map), until=chosen.until, named=named)
    except NoReadings:
        raise TooLittleHistory(f"{chosen.history}: {too_little(None)}") from None
    about, written = origin(chosen.history), []
    period = float(history.columns.time_s.min()), history.end_s
    if base and (why := overlap(base.manifest, about, *period)):
        # Such a base knows the held-out readings, and would get too large a share.
        raise InSample(f"--from-version {chosen.from_version} {why}: begin from an older version, or none")
    for name, train, build in (
        ("failure", partial(train_failure, base=base), failure_model),
        ("anomaly", train_anomaly, anomaly_model),
    ):
        if name not in names:
            continue
        with _shown(name, STEPS[name]) as progress:
            try:
                manifest, files = train(history, seed=chosen.seed, progress=progress)
            except TooLittleHistory as error:
                raise TooLittleHistory(f"{chosen.history}: {error}") from None
        manifest |= about
        folder = registry.write(chosen.model_dir, name, version, manifest, files)
        build(registry.load(chosen.model_dir, name, version))
        written.append((name, folder, manifest))
    for name, folder, manifest in written:
        if chosen.activate:  # none before all are written: the disk may be full
            registry.activate(chosen.model_dir, name, version)
        print(f"{folder}{' (active)' if chosen.activate else ''}")
        for horizon, note in carried(manifest).items():
            print(f"  {horizon}: {note}")


def run_score(chosen: argparse.Namespace) -> None:
    """Score a window of a history and write the probabilities to a Parquet file."""
    _check_window(chosen)
    _check_file(chosen.out)
    from models import registry
    from models.evaluation.history_scores import score_window
    from models.scorer import failure_model

    version = chosen.version or registry.active_version(chosen.model_dir, "failure")
    model = failure_model(registry.load(chosen.model_dir, "failure", version))
    table = score_window(model, chosen.history, dict(chosen.map), chosen.since, chosen.to)
    table.to_parquet(chosen.out, index=False)
    print(f"{chosen.out}: {len(table)} readings scored")


def run_evaluate(chosen: argparse.Namespace) -> None:
    """Evaluate a version on a history or a simulated fleet, write the report, and print its table."""
    _check_window(chosen)
    if chosen.baseline and not chosen.history:
        raise WrongUsage("--baseline needs --history: the readings that it has scores of")
    _check_folder(chosen.out)
    from models import registry
    from models.evaluation.evaluate_version import evaluate
    from models.evaluation.terminal_table import lines
    from models.scorer import failure_model

    version = chosen.version or registry.active_version(chosen.model_dir, "failure")
    loaded = registry.load(chosen.model_dir, "failure", version)
    evaluation = evaluate(
        failure_model(loaded),
        loaded.manifest,
        chosen.out,
        history=chosen.history,
        mapping=dict(chosen.map),
        since=chosen.since,
        to=chosen.to,
        chargers=chosen.chargers,
        seed=chosen.seed,
        baseline=chosen.baseline,
        in_sample=chosen.in_sample,
        progress=partial(_print_line, "evaluate"),
    )
    print(*lines(evaluation.figures), *evaluation.files, sep="\n")


def run_robustness(chosen: argparse.Namespace) -> None:
    """Evaluate a version on other simulated fleets and worlds, and print a Markdown table."""
    from models import registry
    from models.evaluation.robustness import robustness
    from models.scorer import failure_model

    version = chosen.version or registry.active_version(chosen.model_dir, "failure")
    model = failure_model(registry.load(chosen.model_dir, "failure", version))
    lines = robustness(
        model,
        seeds=chosen.seeds,
        worlds=chosen.worlds,
        chargers=chosen.chargers,
        progress=partial(_print_line, "robustness"),
    )
    for line in lines:
        print(line, flush=True)


def run_sessions(chosen: argparse.Namespace) -> None:
    """Convert a log of charging sessions to a history."""
    _check_folder(chosen.out)
    from models.simulation.sessions import convert

    print(f"{chosen.out}: {convert(chosen.sessions, chosen.outages, chosen.out)} readings")


def run_list(chosen: argparse.Namespace) -> None:
    """Print all versions, with the active and shadow ones marked."""
    from models import registry

    if not chosen.model_dir.is_dir():
        raise WrongUsage(f"{chosen.model_dir} is not a folder")
    for name in registry.NAMES:
        try:
            active = registry.active_version(chosen.model_dir, name)
        except ServiceError:
            active = ""
        try:
            shadow = registry.shadow_version(chosen.model_dir, name)
        except ServiceError:
            shadow = None
        for version in registry.versions(chosen.model_dir, name):
            role = "active" if version == active else "shadow" if version == shadow else ""
            print(f"{name:10}{version:24}{role}")


def _version_of(chosen: argparse.Namespace) -> str:
    from models import registry

    return chosen.version or registry.active_version(chosen.model_dir, chosen.model)


def run_show(chosen: argparse.Namespace) -> None:
    """Print a version's manifest without its golden rows; by default of the active version."""
    from models import registry

    manifest = dict(registry.load(chosen.model_dir, chosen.model, _version_of(chosen)).manifest)
    manifest.pop("golden", None)
    print(orjson.dumps(manifest, option=orjson.OPT_INDENT_2).decode())


def run_verify(chosen: argparse.Namespace) -> None:
    """Check a version's files and golden rows; by default of the active version."""
    from models import registry, scorer

    version = _version_of(chosen)
    build = scorer.failure_model if chosen.model == "failure" else scorer.anomaly_model
    build(registry.load(chosen.model_dir, chosen.model, version))
    print(f"{chosen.model} {version}: verified: checksums and reference predictions match")


def run_activate(chosen: argparse.Namespace) -> None:
    """Verify a version and make it active."""
    from models import registry

    run_verify(chosen)
    registry.activate(chosen.model_dir, chosen.model, chosen.version)
    print(f"{chosen.model} {chosen.version} is active")


def run_shadow(chosen: argparse.Namespace) -> None:
    """Verify a version and make it the shadow, or remove the shadow with `--clear`."""
    from models import registry

    if chosen.clear:
        registry.clear_shadow(chosen.model_dir, chosen.model)
        print(f"{chosen.model}: no version scores beside the active one")
        return
    run_verify(chosen)
    registry.set_shadow(chosen.model_dir, chosen.model, chosen.version)
    print(f"{chosen.model} {chosen.version} scores beside the active version")
    print(f"It scores a sample: GET /api/v1/models/{chosen.model}/shadow has its scored_share.")


def run_rollback(chosen: argparse.Namespace) -> None:
    """Make the previously active version active again."""
    from models import registry

    print(f"{chosen.model} {registry.rollback(chosen.model_dir, chosen.model)} is active")
