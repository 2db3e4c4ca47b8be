"""`python -m models`: simulate a fleet, train on a history, score one, and keep versions.

python -m models simulate --chargers 600 --days 365 --seed 1 --out fleet
python -m models train --history fleet --activate
python -m models list
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import orjson

from errors import ServiceError

# OpenMP threads that spin while they wait triple the training time on a machine with other work; measured
# with 50 trees on 100,000 rows and two busy cores: 18 s spinning, 6.5 s passive. Read when it is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

STEPS = {"failure": 16, "anomaly": 2}
TOO_LITTLE = 2  # exit status of `train` on a history that teaches nothing yet
VERSIONS = Path(__file__).resolve().parent / "versions"


HISTORY_HELP = """files of a history, each .parquet or .csv:
  readings     charger_id, timestamp; where there are any: connector_status, energy_delivered (kWh),
               power (kW), temperature (C), error_codes (a list, or text separated by ';'),
               uptime_hours, total_sessions, last_maintenance
  failures     charger_id, timestamp of the onset; optional component, cause
  maintenance  charger_id, timestamp; optional component, kind ('corrective' ends a failure).
               The file itself may be absent.
Times are ISO 8601 (no offset: UTC) or epoch seconds. A column that is nowhere is missing throughout.
Horizons that the history is too short for are carried from the longest that it can teach; where it can teach
none, the exit status is 2."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status. Expected trouble is one line on stderr."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    try:
        return int(chosen.run(chosen) or 0)
    except (ServiceError, ValueError) as error:
        print(f"models {chosen.command}: {error}", file=sys.stderr)
        return TOO_LITTLE if getattr(error, "code", "") == "too_little_history" else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)

    simulate = commands.add_parser("simulate", help="write a simulated fleet's history")
    simulate.add_argument("--chargers", type=_count, default=1500)
    simulate.add_argument("--days", type=_count, default=365)
    simulate.add_argument("--seed", type=int, default=1)
    simulate.add_argument("--out", type=Path, required=True)
    simulate.add_argument("--format", choices=("parquet", "csv"), default="parquet")
    simulate.set_defaults(run=_simulate)

    train = commands.add_parser(
        "train",
        help="train versions on a history",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=HISTORY_HELP,
    )
    train.add_argument("--history", type=Path, required=True, help="folder with the files below")
    train.add_argument("--model", choices=("failure", "anomaly", "all"), default="all")
    train.add_argument("--until", type=_moment, help="nothing later is seen (ISO 8601)")
    train.add_argument(
        "--map",
        action="append",
        default=[],
        type=_mapping,
        metavar="FIELD=COLUMN[,COLUMN]",
        help="a field that stands under another name; several columns of numbers may count error_codes",
    )
    train.add_argument("--version", help="name of the version (default: the time of day)")
    train.add_argument("--seed", type=int, default=0, help="of the sample and the trees")
    train.add_argument("--model-dir", type=Path, default=VERSIONS, help="where versions are kept")
    train.add_argument("--activate", action="store_true", help="make it the active version")
    train.set_defaults(run=_train)

    score = commands.add_parser("score", help="score a window of a history with what was known then")
    score.add_argument("--history", type=Path, required=True)
    score.add_argument("--from", dest="since", type=_moment, required=True)
    score.add_argument("--to", type=_moment, required=True)
    score.add_argument("--out", type=Path, required=True)
    score.add_argument("--map", action="append", default=[], type=_mapping, metavar="FIELD=COLUMN[,COLUMN]")
    score.add_argument("--version", help="default: the active one")
    score.add_argument("--model-dir", type=Path, default=VERSIONS)
    score.set_defaults(run=_score)

    evaluate = commands.add_parser("evaluate", help="write a report of a version on a window of a history")
    evaluate.add_argument("--history", type=Path, help="default: a fresh simulated fleet")
    evaluate.add_argument("--from", dest="since", type=_moment, help="default: the last third begins")
    evaluate.add_argument("--to", type=_moment, help="default: the newest reading")
    evaluate.add_argument("--chargers", type=_count, default=2000, help="of the simulated fleet")
    evaluate.add_argument(
        "--seed",
        type=int,
        default=101,
        help="of the simulated fleets; five are judged by cost, from this one on",
    )
    evaluate.add_argument(
        "--map", action="append", default=[], type=_mapping, metavar="FIELD=COLUMN[,COLUMN]"
    )
    evaluate.add_argument("--version", help="default: the active one")
    evaluate.add_argument("--model-dir", type=Path, default=VERSIONS)
    evaluate.add_argument("--out", type=Path, required=True)
    evaluate.set_defaults(run=_evaluate)

    robust = commands.add_parser("robustness", help="judge on other fleets and in other simulated worlds")
    robust.add_argument("--seeds", type=_numbers, default=[102, 103, 104], metavar="SEED,…")
    robust.add_argument("--worlds", type=_numbers, default=[1, 2, 3, 4], metavar="SEED,…")
    robust.add_argument("--chargers", type=_count, default=2000)
    robust.add_argument("--version", help="default: the active one")
    robust.add_argument("--model-dir", type=Path, default=VERSIONS)
    robust.set_defaults(run=_robustness)

    sessions = commands.add_parser("sessions", help="turn a log of charging sessions into a history")
    sessions.add_argument("--sessions", type=Path, required=True)
    sessions.add_argument("--outages", type=Path, required=True)
    sessions.add_argument("--out", type=Path, required=True)
    sessions.set_defaults(run=_sessions)

    for name, text, run in (
        ("list", "list versions", _list),
        ("show", "print a manifest", _show),
        ("verify", "check files and golden rows", _verify),
        ("activate", "make a version the active one", _activate),
        ("rollback", "make the previous version active again", _rollback),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("--model-dir", type=Path, default=VERSIONS)
        if name != "list":
            command.add_argument("model", choices=("failure", "anomaly"))
        if name in ("show", "verify", "activate"):
            command.add_argument("version", nargs=None if name == "activate" else "?")
        command.set_defaults(run=run)

    shadow = commands.add_parser("shadow", help="have a version score beside the active one, not answering")
    shadow.add_argument("--model-dir", type=Path, default=VERSIONS)
    shadow.add_argument("model", choices=("failure", "anomaly"))
    wanted = shadow.add_mutually_exclusive_group(required=True)
    wanted.add_argument("version", nargs="?")
    wanted.add_argument("--clear", action="store_true", help="have none any more")
    shadow.set_defaults(run=_shadow)
    return parser


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",") if number]


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no ISO 8601 date or time") from None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _mapping(text: str) -> tuple[str, list[str]]:
    field, equals, columns = text.partition("=")
    if not equals or not field or not columns:
        raise argparse.ArgumentTypeError(f"{text!r} is not FIELD=COLUMN")
    return field, columns.split(",")


@contextmanager
def _shown(name: str, steps: int) -> Iterator[Callable[[str], None]]:
    """A progress bar for a person at a terminal, a line a step for a log."""
    if not sys.stderr.isatty():
        yield partial(_say, name)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    parts = TextColumn(f"{name}: {{task.description}}"), BarColumn(), TimeElapsedColumn()
    with Progress(*parts, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=steps)

        def step(text: str) -> None:
            bar.update(task, description=text, advance=1)

        yield step


def _say(name: str, step: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {name}: {step}", file=sys.stderr, flush=True)


def _simulate(chosen: argparse.Namespace) -> None:
    from models.simulation.simulate import simulate

    fleet = simulate(chosen.chargers, chosen.days, chosen.seed)
    fleet.write(chosen.out, suffix=chosen.format)
    about = {
        "description": f"simulated fleet, {chosen.chargers} chargers, {chosen.days} days, seed {chosen.seed}",
        "simulated": True,
    }
    (chosen.out / "about.json").write_bytes(orjson.dumps(about, option=orjson.OPT_INDENT_2))
    print(f"{chosen.out}: {len(fleet.readings)} readings, {len(fleet.failures)} failures")


def _train(chosen: argparse.Namespace) -> None:
    from models import registry
    from models.scorer import anomaly_model, failure_model
    from models.training.history import NoReadings, load
    from models.training.horizons import carried, too_little
    from models.training.train_anomaly import train_anomaly
    from models.training.train_failure import train_failure

    try:
        history = load(chosen.history, mapping=dict(chosen.map), until=chosen.until)
    except NoReadings:
        raise too_little(None) from None
    about_file = chosen.history / "about.json"
    about = orjson.loads(about_file.read_bytes()) if about_file.is_file() else {}
    origin = {
        "trained_on": about.get("description", f"history {chosen.history.name}"),
        "simulated": bool(about.get("simulated", False)),
    }
    version = chosen.version or f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    for name, train, build in (
        ("failure", train_failure, failure_model),
        ("anomaly", train_anomaly, anomaly_model),
    ):
        if chosen.model not in (name, "all"):
            continue
        with _shown(name, STEPS[name]) as progress:
            manifest, files = train(history, seed=chosen.seed, progress=progress)
        folder = registry.write(chosen.model_dir, name, version, {**manifest, **origin}, files)
        build(registry.load(chosen.model_dir, name, version))
        if chosen.activate:
            registry.activate(chosen.model_dir, name, version)
        print(f"{folder}{' (active)' if chosen.activate else ''}")
        for horizon, note in carried(manifest).items():
            print(f"  {horizon}: {note}")


def _score(chosen: argparse.Namespace) -> None:
    from models import registry
    from models.evaluation.history_scores import score_window
    from models.scorer import failure_model

    version = chosen.version or registry.active_version(chosen.model_dir, "failure")
    model = failure_model(registry.load(chosen.model_dir, "failure", version))
    table = score_window(model, chosen.history, dict(chosen.map), chosen.since, chosen.to)
    table.to_parquet(chosen.out, index=False)
    print(f"{chosen.out}: {len(table)} readings scored")


def _evaluate(chosen: argparse.Namespace) -> None:
    from models import registry
    from models.evaluation.evaluate_version import evaluate
    from models.scorer import failure_model

    version = chosen.version or registry.active_version(chosen.model_dir, "failure")
    loaded = registry.load(chosen.model_dir, "failure", version)
    written = evaluate(
        failure_model(loaded),
        loaded.manifest,
        chosen.out,
        history=chosen.history,
        mapping=dict(chosen.map),
        since=chosen.since,
        to=chosen.to,
        chargers=chosen.chargers,
        seed=chosen.seed,
        progress=partial(_say, "evaluate"),
    )
    print(*written, sep="\n")


def _robustness(chosen: argparse.Namespace) -> None:
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
        progress=partial(_say, "robustness"),
    )
    for line in lines:
        print(line, flush=True)


def _sessions(chosen: argparse.Namespace) -> None:
    from models.simulation.sessions import convert

    print(f"{chosen.out}: {convert(chosen.sessions, chosen.outages, chosen.out)} readings")


def _list(chosen: argparse.Namespace) -> None:
    from models import registry

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


def _show(chosen: argparse.Namespace) -> None:
    from models import registry

    manifest = dict(registry.load(chosen.model_dir, chosen.model, _version_of(chosen)).manifest)
    manifest.pop("golden", None)
    print(orjson.dumps(manifest, option=orjson.OPT_INDENT_2).decode())


def _verify(chosen: argparse.Namespace) -> None:
    from models import registry, scorer

    version = _version_of(chosen)
    build = scorer.failure_model if chosen.model == "failure" else scorer.anomaly_model
    build(registry.load(chosen.model_dir, chosen.model, version))
    print(f"{chosen.model} {version}: files and golden rows are as the manifest says")


def _activate(chosen: argparse.Namespace) -> None:
    from models import registry

    _verify(chosen)
    registry.activate(chosen.model_dir, chosen.model, chosen.version)
    print(f"{chosen.model} {chosen.version} is active")


def _shadow(chosen: argparse.Namespace) -> None:
    from models import registry

    if chosen.clear:
        registry.clear_shadow(chosen.model_dir, chosen.model)
        print(f"{chosen.model}: no version scores beside the active one")
        return
    _verify(chosen)
    registry.set_shadow(chosen.model_dir, chosen.model, chosen.version)
    print(f"{chosen.model} {chosen.version} scores beside the active version")


def _rollback(chosen: argparse.Namespace) -> None:
    from models import registry

    print(f"{chosen.model} {registry.rollback(chosen.model_dir, chosen.model)} is active")


if __name__ == "__main__":
    raise SystemExit(main())
