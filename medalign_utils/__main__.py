"""Check, export or write a release, grade answers, plan, report or repair a run, trace a result."""

import argparse
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medalign_utils.errors import MedAlignError, printable
from medalign_utils.review_app.commands import add_commands

if TYPE_CHECKING:
    import pandas as pd


def _mapped(pairs: list[str]) -> dict[str, str]:
    """Return our column -> the file's name for it, from texts COLUMN=NAME."""
    return dict(pair.partition("=")[::2] for pair in pairs)


def _print_table(table: "pd.DataFrame") -> None:
    from medalign_utils.reporting.results_table import formatted, heading

    print(formatted(table).rename(columns=heading).to_string(index=False))


def _check(args: argparse.Namespace) -> int:
    from medalign_utils.curation.problems import csv_writer, json_writer, problem_file
    from medalign_utils.curation.validation import check_release

    columns, wanted = _mapped(args.column), args.json or args.csv
    with problem_file(args.release, wanted) as file:
        listener = wanted and (json_writer if args.json else csv_writer)(file)
        report = check_release(args.release, columns=columns, listener=listener or None)
    out = sys.stderr if wanted == "-" else sys.stdout
    width = report.summary["item"].map(printable).str.len().max()
    for item, value in report.summary.itertuples(index=False):
        print(f"{printable(item):{width}}  {printable(value)}", file=out)
    n, lines = len(report.problems), [*report.problems.lines()]
    heading = f"{n:,} problem{'s' * (n > 1)}" if n else "no problems"
    print(heading, *([] if wanted else lines), sep="\n", file=out)
    if not wanted and len(lines) < n:
        print("`--json FILE` or `--csv FILE` lists all problems")
    return int(bool(n))


def _export(args: argparse.Namespace) -> int:
    from medalign_utils.data.export import export_release
    from medalign_utils.data.release import load_release
    from medalign_utils.data.tables import AS_OPTION

    release = load_release(args.release, columns=_mapped(args.column), hint=AS_OPTION)
    for file, n in export_release(release, args.out, args.format).items():
        print(f"{file}: {n:,} rows")
    return 0


def _grade(args: argparse.Namespace) -> int:
    from medalign_utils.data.json_rows import to_json
    from medalign_utils.data.release import load_release, require_place
    from medalign_utils.evaluation.answers import grade_answers
    from medalign_utils.paths import write_text

    out = args.out or args.answers.with_name(f"{args.answers.stem}.verdicts.jsonl")
    if out.resolve() == args.answers.resolve():
        raise MedAlignError(f"{out} has the answers; set another file for the verdicts by `--out`")
    release = load_release(args.release, hint="rename it to {column}")
    require_place(out, release.path, release.why_restricted)
    graded = grade_answers(args.answers, release, args.system, columns=_mapped(args.column))
    write_text(to_json(graded.verdicts, lines=True), out, private=release.is_restricted)
    _print_table(graded.table)
    print(f"correct: with its 95 % interval over patients; {release.origin}")
    print(*graded.notes(), f"verdicts: {out}", sep="\n")
    return 0


def _regrade(args: argparse.Namespace) -> int:
    from medalign_utils.config import load_experiment
    from medalign_utils.evaluation.regrade import regrade
    from medalign_utils.paths import ratings
    from medalign_utils.run import Run

    run = Run.of(load_experiment(args.experiment))
    regraded = regrade(run)
    _print_table(regraded.table)
    before, now = regraded.graders
    if not before:
        print(f"graded for the first time, by version {now} of the grader")
    else:
        print(f"{len(regraded.moved)} verdicts moved from version {before} to {now} of the grader")
        for row in regraded.moved.head(20).itertuples(index=False):
            print(*row)
    print(f"verdicts: {ratings(run.experiment)}")
    return 0


def _plan(args: argparse.Namespace) -> int:
    from medalign_utils import paths
    from medalign_utils.config import answering_systems, load_experiment, load_system
    from medalign_utils.generation.cost import plan_experiment, report
    from medalign_utils.run import Run

    experiment = load_experiment(args.experiment, overrides={"responses": "generated"})
    folder = paths.resolve(experiment["release"])
    paths.require(experiment["experiment"], folder)
    release = Run.of(experiment).release
    prompt = experiment.get("prompt")
    systems = [load_system(name, prompt) for name in answering_systems(experiment)]
    plan = plan_experiment(release, systems, experiment["experiment"], progress=True)
    print(report(plan))
    return int((plan["problem"] != "").any())


def _report(args: argparse.Namespace) -> int:
    import yaml

    from medalign_utils.config import answering_systems, load_experiment, load_system
    from medalign_utils.reporting.report import write_report

    experiment = load_experiment(args.experiment, yaml.safe_load(args.parameters))
    prompt = experiment.get("prompt")
    systems = {name: load_system(name, prompt) for name in answering_systems(experiment)}
    print(write_report(experiment, systems))
    return 0


def _publish(args: argparse.Namespace) -> int:
    from medalign_utils.config import load_experiment
    from medalign_utils.reporting.publish import publish

    publish(load_experiment(args.experiment)["experiment"])
    return 0


def _provenance(args: argparse.Namespace) -> int:
    import yaml

    from medalign_utils.provenance.records import provenance_of

    print(yaml.safe_dump(provenance_of(args.file), sort_keys=False, allow_unicode=True), end="")
    return 0


def _latex(args: argparse.Namespace) -> int:
    from medalign_utils.reporting.latex import to_latex
    from medalign_utils.reporting.results_table import read_table

    try:
        table = read_table(args.file)
    except ValueError:  # pandas' own, which may quote the file
        raise MedAlignError(f"{args.file}: not a table of a run, CSV in UTF-8") from None
    print(to_latex(table, columns=args.columns or None), end="")
    return 0


def _synthesize(args: argparse.Namespace) -> int:
    from medalign_utils.data.release import seed_of
    from medalign_utils.synthetic import PUBLIC_SEED, write_release

    sizes = {"patients": args.patients, "instructions": args.instructions, "scale": args.scale}
    seed = PUBLIC_SEED if args.seed is None else args.seed
    release = write_release(args.out, seed=seed, progress=True, **sizes)
    size = f"{release['patients']} patients, {release['instructions']} instructions"
    print(f"{args.out}: {size}, {seed_of(release)}")
    return 0


def _repair(args: argparse.Namespace) -> int:
    from medalign_utils.data.release import TABLE_STEMS
    from medalign_utils.data.store import is_locked, repair

    if not args.file.is_file():
        raise MedAlignError(f"no file {args.file}")
    if args.file.stem in (*TABLE_STEMS, "answer-key"):
        raise MedAlignError(f"{args.file}: a table of a release, not a file of a run")
    if is_locked(args.file.with_suffix(".lock")):
        raise MedAlignError(f"{args.file}: a run is writing to it; repair it afterwards")
    n = repair(args.file)
    print(f"{args.file}: {n} damaged lines" + (f", now in {args.file}.damaged" if n else ""))
    return 0


def _run(args: argparse.Namespace) -> int:
    import yaml

    from medalign_utils.reporting.jobs import run_notebook

    may_continue = run_notebook(
        args.notebook,
        args.executed,
        yaml.safe_load(args.parameters),
        status=args.status,
        after=args.after,
        makes=args.makes,
        was_killed=args.attempt > 1,
    )
    return int(not may_continue)


def _join(args: argparse.Namespace) -> int:
    from medalign_utils.reporting.jobs import join_shards

    join_shards(args.after, args.makes, args.status)
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run one command and return the exit status.

    It is 1 if `check` or `plan` finds problems or a workflow job fails, 2 after a `MedAlignError`
    or if a file cannot be read or written.
    """
    parser = argparse.ArgumentParser(prog="python -m medalign_utils", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")

    def add(name: str, run: Callable, text: str, example: str = "") -> Callable[..., Any]:
        epilog = f"example: python -m medalign_utils {name} {example}"
        listed = {"help": text, "epilog": epilog} if example else {}
        command = commands.add_parser(name, description=text, **listed)
        command.set_defaults(run=run)
        return command.add_argument

    def named(argument: Callable[..., Any], name: str, text: str) -> None:
        """Add `--column A=B`, repeated, and `--columns A=B C=D`; help shows `name` only."""
        options = {"dest": "column", "default": [], "metavar": "COLUMN=NAME"}
        many = {"--column": {"action": "append"}, "--columns": {"action": "extend", "nargs": "+"}}
        for option, more in many.items():
            argument(option, help=text if option == name else argparse.SUPPRESS, **options, **more)

    def of_release(argument: Callable[..., Any]) -> None:
        argument("release", type=Path, help="folder of the release")
        named(argument, "--column", "the release's name for one of our columns; may be repeated")

    example = "data/release --column rank=my_rank"
    argument = add("check", _check, "summarize a release and list its problems", example)
    of_release(argument)
    for name in ("json", "csv"):
        file_help = f"write all problems to a file as {name.upper()}; without FILE, print them"
        argument(f"--{name}", nargs="?", const="-", metavar="FILE", help=file_help)

    text = (
        "write a release's instruction-response pairs as JSON, or, to a folder, all its tables; "
        "the files load like the release's own"
    )
    argument = add("export", _export, text, "data/demo pairs.json --format json")
    of_release(argument)
    argument("out", type=Path, help="a file, for the pairs; or a folder, for all tables")
    formats = "json: a list of objects; jsonl: one object per line; default: as the file's name"
    argument("--format", choices=("json", "jsonl"), help=formats)

    text = "grade answers that were produced elsewhere with a release's answer key"
    example = "answers.jsonl --release data/demo --columns instruction_id=qid response=answer"
    argument = add("grade", _grade, text, example)
    file_help = "JSON, JSON lines, CSV or TSV, with instruction_id and response"
    argument("answers", type=Path, help=f"{file_help}; finish_reason tells which were cut")
    argument("--release", type=Path, required=True, help="folder of a release with an answer key")
    named(argument, "--columns", "the file's names for our columns")
    argument("--system", default="", help="name in the table; default: the file's, without ending")
    out_help = "file for the verdicts, JSON lines; default: ANSWERS.verdicts.jsonl"
    argument("--out", type=Path, help=out_help)

    text = "grade a run's kept responses again, and say which verdicts moved since the last time"
    argument = add("regrade", _regrade, text, "params/demo.yaml")
    argument("experiment", help="the experiment's YAML file")

    text = (
        "estimate prompts, tokens, time and cost of an experiment's systems, and what they cut off "
        "(packs every prompt, sends nothing)"
    )
    argument = add("plan", _plan, text, "params/paper.yaml")
    argument("experiment", help="the experiment's YAML file")

    argument = add("report", _report, "write a run's report, complete or not", "params/demo.yaml")
    argument("experiment", help="the experiment's YAML file")
    yaml_help = "parameters that override the file, e.g. '{seed: 2}'"
    argument("-y", dest="parameters", default="{}", metavar="YAML", help=yaml_help)

    text = "say which notebook, settings, code, commit, date, machine and versions made a result"
    example = "runs/demo/tables/05_evaluate_systems.csv"
    argument = add("provenance", _provenance, text, example)
    argument("file", type=Path, help="a table, figure or patients.csv of a run")

    text = "print a table of a run in LaTeX, with the columns that a paper needs"
    example = "runs/demo/tables/05_evaluate_systems.csv system n correct mean_rank"
    argument = add("latex", _latex, text, example)
    argument("file", type=Path, help="a table of a run, CSV")
    argument("columns", nargs="*", help="with their intervals, in this order; default: all")

    text = "set damaged lines of a run's file aside, so that a new run can continue"
    argument = add("repair", _repair, text, "runs/demo/responses/bm25-2k/store.jsonl")
    argument("file", type=Path, help="a .jsonl file that an error names")

    example = "data/new --patients 60 --seed 7"
    argument = add("synthesize", _synthesize, "write a synthetic release of any size", example)
    argument("out", type=Path, help="folder to write")
    argument(
        "--scale",
        default="demo",
        choices=("demo", "release"),
        help="release: the published size, 276 patients and 983 instructions (minutes, 0.5 GB)",
    )
    argument("--patients", type=int, help="only with --scale demo; default 24")
    argument("--instructions", type=int, help="only with --scale demo; default 120")
    argument("--seed", type=int, help="any number; default 1, the public demo's")

    text = "plan and follow a review by clinicians"
    review = commands.add_parser("review", help=text, description=text)
    add_commands(review)

    # Commands of the workflow and of `make figures`, which --help does not list.
    argument = add("publish", _publish, "update this repository's pages from a finished run")
    argument("experiment", help="the experiment's YAML file")
    argument = add("run", _run, "execute a notebook as a job of the workflow")
    argument("notebook", type=Path, help="e.g. notebooks/05_evaluate_systems.ipynb")
    argument("executed", type=Path, help="its executed copy")
    argument("-y", dest="parameters", default="{}", metavar="YAML", help=yaml_help)
    argument("--attempt", type=int, default=1, help="from 2 on, only record that 1 was killed")
    for job in (argument, add("join", _join, "join a system's shards as a job of the workflow")):
        job("--status", type=Path, required=True, help="JSON file to write with the outcome")
        job("--after", type=Path, nargs="*", default=[], help="status files of earlier jobs")
        job("--makes", type=Path, nargs="*", default=[], help="files to write, in order")

    args = parser.parse_args(argv)
    try:
        with warnings.catch_warnings():
            # The sentence alone, without the line of our code that says it.
            warnings.showwarning = lambda warning, *_: print(
                printable(str(warning)), file=sys.stderr
            )
            return args.run(args)
    except MedAlignError as error:
        print(f"medalign_utils {args.command}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        print(f"medalign_utils {args.command}: {reason}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
