"""`bmsim scenario`: play stories, look at them, replay what failed."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from scenarios.runner import load
from scenarios.runner.campaign import MACHINES_AT_A_TIME, Campaign, Reports, exit_code
from scenarios.runner.interruption import Interruption
from scenarios.runner.invariants import INVARIANTS
from scenarios.runner.jobs import Job, play_job
from scenarios.runner.load import BadScenario, ScenarioFile
from scenarios.runner.played_code import code_sha256
from scenarios.runner.pool import Journal
from scenarios.runner.record import recorded
from scenarios.runner.report import failure_text
from scenarios.runner.saved import first_difference, read_saved
from scenarios.runner.stage import Fidelity, LabTrouble
from scenarios.runner.verdict import Played, Verdict
from scenarios.runner.watch import SideBySide
from scenarios.runner.words import in_words

EXIT_USE = 2
MOST_HOSTS = 16

app = typer.Typer(
    help="Scenarios: play stories of racks, requests and faults; replay what failed.\n\n"
    "Exit codes: 0 all passed, 1 one failed, 2 wrong use or file, 5 the lab broke and nothing failed, "
    "130 or 143 interrupted by Ctrl-C or SIGTERM before that.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


MOST_SEEDS = 1_000_000
"""Of one search: each is a job that is kept until it has ended."""


def traces_folder() -> Path:
    """Where the traces of stories that didn't pass are kept."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local/state")
    return Path(base) / "bmsim" / "traces"


Places = Annotated[list[Path], typer.Argument(help="Scenario files, or folders that hold some.")]
Seeds = Annotated[str | None, typer.Option(help="Seeds A..B, both included.")]
Jobs = Annotated[
    int | None, typer.Option(min=1, help="Worker processes; one for each core, one for machines.")
]
Junit = Annotated[Path | None, typer.Option("--junit", help="Write a report of JUnit XML here.")]
Html = Annotated[Path | None, typer.Option(help="Write a page with timelines here; works offline.")]
Stop = Annotated[bool, typer.Option("--stop-at-first", help="Begin nothing more after the first failure.")]
Resume = Annotated[
    Path | None, typer.Option(help="A journal: what passed by it is left out, what ends is added.")
]
Traces = Annotated[
    Path,
    typer.Option(
        help="Where traces of what didn't pass are kept.", default_factory=traces_folder, show_default=False
    ),
]


@app.command()
def run(
    places: Places,
    traces: Traces,
    fidelity: Annotated[Fidelity | None, typer.Option(help="Only this one of those it declares.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Another than the scenario's own.")] = None,
    seeds: Seeds = None,
    jobs: Jobs = None,
    junit_file: Junit = None,
    html: Html = None,
    stop_at_first: Stop = False,
    resume: Resume = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show one story as it goes on, each compute host's side by side.")
    ] = False,
) -> None:
    """Play scenarios."""
    if seed is not None and seeds is not None:
        _refuse("--seed and --seeds are both given: leave one out")
    files = _read(places)
    chosen = list(_chosen(files, fidelity))
    if not chosen:
        _refuse(f"none of these scenarios declares the fidelity {fidelity}")
    own = [seed] if seed is not None else None
    numbers = _numbers(seeds) if seeds is not None else own
    _check_fits(chosen, jobs or MACHINES_AT_A_TIME, times=len(numbers or [1]))
    todo = [
        Job(fidelity=fid, seed=number, file=one.file, scenario=one.scenario)
        for one, fid in chosen
        for number in numbers or [one.scenario.seed]
    ]
    if watch:
        if len(todo) > 1:
            _refuse(f"--watch shows one story, and these are {len(todo)}: choose a file, a fidelity, a seed")
        _play_watched(todo[0], traces, _reports(junit_file, html))
    _play(todo, traces, jobs, stop_at_first, resume, _reports(junit_file, html))


@app.command()
def search(
    seeds: Annotated[str, typer.Option(help="Seeds A..B, both included.")],
    traces: Traces,
    nodes: Annotated[int, typer.Option(min=1, max=1000, help="Nodes of each rack.")] = 5,
    strikes: Annotated[int, typer.Option(min=0, max=100, help="Faults of each story.")] = 2,
    compute_hosts: Annotated[
        str, typer.Option(help="Compute hosts of each rack: a number, or A..B for all of these in turn.")
    ] = "1",
    orders: Annotated[
        int, typer.Option(min=0, max=100, help="How often nodes of each story are switched by hand.")
    ] = 0,
    jobs: Jobs = None,
    junit_file: Junit = None,
    html: Html = None,
    stop_at_first: Stop = False,
    resume: Resume = None,
) -> None:
    """Play stories that are made up by seeds, as models."""
    if not compute_hosts.isdecimal() and ".." not in compute_hosts:
        _refuse(f"--compute-hosts {compute_hosts}: write a number, or A..B")
    hosts = _numbers(compute_hosts if ".." in compute_hosts else f"{compute_hosts}..{compute_hosts}")
    if not 1 <= hosts[0] <= hosts[-1] <= MOST_HOSTS:
        _refuse(f"--compute-hosts {compute_hosts}: a rack has 1 to {MOST_HOSTS} of them")
    todo = [
        Job(
            fidelity=Fidelity.MODEL,
            seed=one,
            nodes=nodes,
            strikes=strikes,
            compute_hosts=hosts[one % len(hosts)],
            orders=orders,
        )
        for one in _numbers(seeds)
    ]
    _play(todo, traces, jobs, stop_at_first, resume, _reports(junit_file, html))


@app.command("list")
def list_scenarios(places: Places) -> None:
    """List scenarios, with what they guard."""
    for one in _read(places):
        scenario = one.scenario
        size = f"{', '.join(scenario.fidelities)}; {len(scenario.node_names)} nodes"
        out.print(f"{one.file}  ({size})\n    {scenario.why}", soft_wrap=True, markup=False)


@app.command()
def show(file: Annotated[Path, typer.Argument(help="The scenario file.")]) -> None:
    """Tell a scenario in words, with its whole rack."""
    for one in _read([file]):
        out.print(in_words(one.scenario), soft_wrap=True, markup=False)


@app.command()
def replay(
    trace: Annotated[Path, typer.Argument(help="A trace that a failed run kept.")],
    html: Html = None,
) -> None:
    """Play again what a trace tells of, and say whether the same happens."""
    try:
        saved = read_saved(trace)
    except BadScenario as error:
        _refuse(str(error))
    reports = _reports(None, html)
    if saved.damaged:
        told = f"{trace} is damaged: its events are not those that were kept, and those of now may differ"
        out.print(told, soft_wrap=True, markup=False)
    if saved.code != code_sha256():
        told = f"other code than this one kept {trace}: what it plays now may be another story"
        out.print(told, soft_wrap=True, markup=False)
    if saved.job.scenario is not None:
        _check_fits([(ScenarioFile(file=str(trace), scenario=saved.job.scenario), saved.job.fidelity)])
    played = play_job(saved.job, None)
    ended = _reported(played, reports)
    out.print(failure_text(played), soft_wrap=True, markup=False)
    # Machines never take the same time twice.
    if saved.job.fidelity is Fidelity.MODEL:
        difference = first_difference(saved.events, played.trace)
        out.print(
            f"not the same as in {trace}:\n{difference}" if difference else "every event is the same as then",
            soft_wrap=True,
            markup=False,
        )
    raise typer.Exit(ended)


@app.command()
def record(
    made_up: Annotated[
        str, typer.Argument(metavar="SEED|TRACE", help="What made the story up; or a trace that it left.")
    ],
    file: Annotated[Path, typer.Argument(help="The scenario file to write; its name is the scenario's.")],
    why: Annotated[str, typer.Option(help="The promise that it guards.")],
    source: Annotated[str, typer.Option(help="The bug that it comes from.")],
    nodes: Annotated[int, typer.Option(min=1, max=1000, help="Of a seed: as they were.")] = 5,
    strikes: Annotated[int, typer.Option(min=0, max=100, help="Of a seed: as they were.")] = 2,
    compute_hosts: Annotated[int, typer.Option(min=1, help="Of a seed: as they were.")] = 1,
    orders: Annotated[int, typer.Option(min=0, max=100, help="Of a seed: as they were.")] = 0,
) -> None:
    """Write a made-up story down as a scenario file, to keep it."""
    if file.exists():
        _refuse(f"{file} is there already: choose another name, or remove it")
    try:
        if made_up.isdecimal():
            job = Job(
                fidelity=Fidelity.MODEL,
                seed=int(made_up),
                nodes=nodes,
                strikes=strikes,
                compute_hosts=compute_hosts,
                orders=orders,
            )
        else:
            job = read_saved(Path(made_up)).job
        text = recorded(job.story, seed=job.seed, why=why, source=source, name=file.stem)
        load.read_text(text, str(file))
    except BadScenario as error:
        _refuse(str(error))
    try:
        file.write_text(text)
    except OSError as error:
        _refuse(f"{file} can't be written: {error.strerror}")
    played_by = shlex.join(("bmsim", "scenario", "run", str(file)))
    out.print(f"written; play it by: {played_by}", soft_wrap=True, markup=False)


# --- what they share ------------------------------------------------------------------------------


def _refuse(told: str) -> NoReturn:
    err.print(f"bmsim: {told}", soft_wrap=True, markup=False)
    raise typer.Exit(EXIT_USE)


def _read(places: Sequence[Path]) -> list[ScenarioFile]:
    try:
        return load.read_all(places)
    except BadScenario as error:
        _refuse(str(error))


def _reports(junit_file: Path | None, html: Path | None) -> Reports:
    """What can't be written is refused now, and not after all has been played."""
    for option, file in (("--junit", junit_file), ("--html", html)):
        try:
            if file is not None:
                file.open("a").close()
        except OSError as error:
            _refuse(f"{file} can't be written: {error.strerror}; name another file by {option}")
    return Reports(junit_file, html)


def _chosen(
    files: Iterable[ScenarioFile], fidelity: Fidelity | None
) -> Iterator[tuple[ScenarioFile, Fidelity]]:
    for one in files:
        for declared in one.scenario.fidelities:
            if fidelity in (None, declared):
                yield one, declared


def _check_fits(chosen: Sequence[tuple[ScenarioFile, Fidelity]], jobs: int = 1, times: int = 1) -> None:
    """jobs: so many are played at a time. times: how often each is."""
    by_machines = [one.scenario for one, fidelity in chosen if fidelity is Fidelity.MACHINE]
    try:
        available_mib = load.available_memory_mib()
        for one, fidelity in chosen:
            load.check_fits(one, fidelity, available_mib)
        load.check_fit_together(by_machines * min(times, jobs), jobs, available_mib)
    except BadScenario as error:
        _refuse(str(error))


def _numbers(seeds: str) -> range:
    first, dots, last = seeds.partition("..")
    if not dots or not first.isdecimal() or not last.isdecimal() or int(last) < int(first):
        _refuse(f"{seeds} is not A..B with A at most B, as 1..1000")
    if int(last) - int(first) >= MOST_SEEDS:
        _refuse(f"{seeds} are more than {MOST_SEEDS:,} seeds: search them in parts")
    return range(int(first), int(last) + 1)


def _play_watched(job: Job, traces: Path, reports: Reports) -> NoReturn:
    # As Ctrl-C: a story of machines takes its rack down.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    out.print(in_words(job.scenario) if job.scenario is not None else job.label, markup=False)
    shown = SideBySide(out, tuple(host.name for host in job.story.hosts))
    played = play_job(job, traces, shown)
    ended = _reported(played, reports)
    shown.end()
    held = f"passed: {', '.join(make().name for make in INVARIANTS)} held at every moment"
    out.print(failure_text(played) or held, soft_wrap=True, markup=False)
    raise typer.Exit(ended)


def _reported(played: Played, reports: Reports) -> int:
    """The exit code."""
    verdicts = {played.result.verdict}
    try:
        reports.write([played])
    except LabTrouble as trouble:
        err.print(f"bmsim: {trouble}", soft_wrap=True, markup=False)
        verdicts.add(Verdict.INFRA)
    return exit_code(verdicts)


def _play(
    todo: Sequence[Job],
    traces: Path,
    workers: int | None,
    stop_at_first: bool,
    resume: Path | None,
    reports: Reports,
) -> NoReturn:
    interruption = Interruption()
    try:
        with interruption.listening():
            journal = Journal(resume) if resume is not None else None
            campaign = Campaign(out, traces, workers, stop_at_first, journal, reports, interruption)
            raise typer.Exit(campaign.play(todo))
    except BadScenario as error:
        _refuse(str(error))
