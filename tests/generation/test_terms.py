"""Which data may be sent to another machine, and which only the owner may read."""

import json
import logging
import re
import shutil
import socket
import stat

import pandas as pd
import pytest

from medalign_utils.data.release import load_release
from medalign_utils.errors import IncompleteError, TermsError
from medalign_utils.generation.runner import run_system
from medalign_utils.generation.terms import check_terms
from medalign_utils.synthetic import write_release as synthesize
from tests.builders.chat_server import ChatServer, Reply, completion, error
from tests.builders.project import copy_project, run, write_experiment, write_system
from tests.builders.run_folder import kept
from tests.builders.tiny_release import write_release

MARKER = "Zyxwomab"
REMOTE = "models.example.org"


@pytest.fixture
def restricted(tmp_path):
    """Write a release without a manifest; a note, a name and a code of each EHR have markers."""
    folder = write_release(tmp_path / "release")
    for file in (folder / "ehrs").iterdir():
        text = file.read_text().replace("Progress note", f"Progress note {MARKER}")
        text = re.sub("(LOINC|RxNorm)/[0-9-]+", rf"\1/{MARKER}", text)
        file.write_text(re.sub(r"(Creatinine was|Denies)", rf"On {MARKER}. \1", text))
    return folder


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    folder = tmp_path_factory.mktemp("synthetic")
    synthesize(folder, patients=2, instructions=6, seed=1)
    return folder


@pytest.fixture
def remote(monkeypatch):
    """Let a name other than a loopback one resolve to this machine."""
    resolve = socket.getaddrinfo

    def mapped(host, *arguments, **options):
        here = "127.0.0.1" if host in (REMOTE, REMOTE.encode()) else host
        return resolve(here, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", mapped)
    monkeypatch.setenv("A_KEY", "key-of-the-test")


class CountingServer(ChatServer):
    """Also counts connections before any request."""

    connections = 0

    async def _serve(self, reader, writer):
        self.connections += 1
        await super()._serve(reader, writer)


def system(port, host=REMOTE, **more):
    return {
        "generator": "openai",
        "model": "m",
        "base_url": f"http://{host}:{port}/v1",
        "api_key_env": "A_KEY",
        "context_length": 2048,
        "format": "lines",
        "tokenizer": "minilm",
    } | more


def quoting(request):
    return Reply(completion(f"It says: {request.prompt[80:300]}"))


def test_nothing_is_sent_to_another_machine_without_an_agreement(
    restricted, synthetic, tmp_path, remote
):
    release, path = load_release(restricted), tmp_path / "run" / "m.jsonl"
    with CountingServer(quoting) as server:
        for covered_by in (None, {"other.example.org": "agreement no. 7"}):
            with pytest.raises(TermsError) as caught:
                run_system(
                    release, system(server.port, covered_by=covered_by), path, progress=False
                )
            for part in (REMOTE, "nothing was sent", f'covered_by: {{{REMOTE}: "<which agreement'):
                assert part in str(caught.value)
        assert server.connections == 0 and not path.parent.exists()

        agreement = {REMOTE: "agreement no. 7 of 2026 with Example"}
        covered = system(server.port, covered_by=agreement)
        assert len(run_system(release, covered, path, progress=False)) == 3
        assert server.connections > 0 and len(server.requests) == 3
        terms = json.loads(kept(path).read_text().splitlines()[0])["terms"]
        assert terms == {"restricted": True, "host": REMOTE, "covered_by": agreement[REMOTE]}

        # A local server needs no agreement, and a synthetic release may be sent anywhere.
        here = system(server.port, host="127.0.0.1")
        assert len(run_system(release, here, tmp_path / "here.jsonl", progress=False)) == 3
        away = run_system(
            load_release(synthetic), system(server.port), tmp_path / "away.jsonl", progress=False
        )
        assert len(away) == len(load_release(synthetic).references)


@pytest.mark.parametrize("name", [
    "gpt-oss:120b-cloud", "kimi-k2:cloud", "x:1b-CLOUD", "a-cloud ", "x:1b-cloud@sha256:0a",
])  # fmt: skip
def test_a_model_that_ollama_passes_on_to_its_maker_needs_an_agreement(
    restricted, tmp_path, remote, name
):
    with CountingServer(quoting) as server:
        here = system(server.port, host="127.0.0.1", model=name)
        with pytest.raises(TermsError, match="passes prompts on: nothing was sent"):
            run_system(load_release(restricted), here, tmp_path / "m.jsonl", progress=False)
        assert server.connections == 0
        covered = here | {"covered_by": {"127.0.0.1": "agreement no. 7"}}
        assert len(run_system(load_release(restricted), covered, tmp_path / "m.jsonl")) == 3
        ours = here | {"model": "cloudy:7b"}
        assert check_terms(load_release(restricted), ours)["covered_by"] is None


@pytest.mark.parametrize("addresses", [["10.0.0.7"], ["127.0.0.1", "10.0.0.7"], []])
def test_localhost_that_is_no_loopback_address_is_another_machine(
    restricted, monkeypatch, addresses
):
    release, here = load_release(restricted), system(1, host="localhost")
    assert check_terms(release, here)["covered_by"] is None

    def resolve(*_, **__):
        if not addresses:
            raise OSError
        return [(2, 1, 6, "", (address, 0)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(TermsError, match="localhost is not a loopback address here: nothing"):
        check_terms(release, here)


def test_records_sent_by_plain_http_under_an_agreement_are_warned_of(restricted, caplog):
    release = load_release(restricted)
    covered = system(1, covered_by={REMOTE: "agreement no. 7"})
    check_terms(release, covered | {"base_url": f"https://{REMOTE}/v1"})
    check_terms(release, system(1, host="127.0.0.1"))
    assert caplog.text == ""
    check_terms(release, covered)
    assert f"records are sent to {REMOTE} unencrypted" in caplog.text


def test_each_response_keeps_its_agreement_after_a_later_run_from_here(
    restricted, tmp_path, remote
):
    path, agreement = tmp_path / "m.jsonl", {REMOTE: "agreement no. 7"}

    def one_fails(request):
        return error(500) if "Which statin" in request.prompt and server.fails else quoting(request)

    with ChatServer(one_fails) as server:
        server.fails = True
        away = system(server.port, covered_by=agreement, attempts=1)
        with pytest.raises(IncompleteError):
            run_system(load_release(restricted), away, path, progress=False)
        server.fails = False
        run_system(load_release(restricted), system(server.port, host="127.0.0.1"), path)
    rows = [json.loads(line) for line in path.read_text().split("\n") if line]
    assert {row["instruction_id"]: row["covered_by"] for row in rows} == {
        "02": agreement[REMOTE], "3": None, "5479314876123": agreement[REMOTE]
    }  # fmt: skip
    assert [row["host"] for row in rows].count("127.0.0.1") == 1


def test_a_record_is_in_its_responses_and_nowhere_else(
    restricted, tmp_path, caplog, capsys, remote
):
    """Not in logs, failures' reasons, errors or other files of the run."""

    def some_fail(request):
        if "Which statin" in request.prompt:
            return error(400, request.prompt[:30], message=request.prompt)
        return quoting(request)

    path = tmp_path / "run" / "m.jsonl"
    with caplog.at_level(logging.DEBUG), ChatServer(some_fail) as server:
        settings = system(server.port, host="127.0.0.1", strategy="refine", context_length=700)
        responses = run_system(load_release(restricted), settings, path)
    assert responses["failure"].tolist().count("HTTP 400 (BadRequestError)") == 1
    shown = "".join(capsys.readouterr())
    assert "failed=1" in shown and "1 of 3 instructions have no response" in caplog.text
    for text in (caplog.text, shown):
        assert MARKER not in text and "key-of-the-test" not in text
    run_files = [file for file in path.parent.rglob("*") if file.is_file()]
    holding = {file.name for file in run_files if MARKER in file.read_text()}
    assert holding == {"m.jsonl", "store.jsonl"}
    for file in run_files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name


def test_files_made_before_a_release_was_restricted_become_private_too(synthetic, tmp_path):
    folder = shutil.copytree(synthetic, tmp_path / "release")
    path = tmp_path / "m.jsonl"
    with ChatServer(quoting) as server:
        here = system(server.port, host="127.0.0.1", api_key_env=None)
        run_system(load_release(folder), here, path, progress=False)
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
        (path.with_suffix("") / "store-1-of-2.jsonl").touch()  # another job's
        (folder / "manifest.json").unlink()
        n = len(server.requests)
        run_system(load_release(folder), here, path, progress=False)
        assert len(server.requests) == n
    for file in (path, *path.with_suffix("").rglob("*")):
        assert stat.S_IMODE(file.stat().st_mode) == (0o700 if file.is_dir() else 0o600), file


@pytest.mark.slow
def test_only_its_owner_can_read_a_restricted_experiment(restricted, tmp_path):
    """Snakemake writes responses, scores and notebooks, and none of them shows a record."""
    project = copy_project(tmp_path)
    shutil.copytree(restricted, project / "data/real")
    header = "<person><demographics><gender>FEMALE</gender></demographics></person><events>"
    for file in (project / "data/real/ehrs").iterdir():
        file.write_text(file.read_text().replace("<events>", header, 1))
    changes = dict.fromkeys(("synthetic_patients", "synthetic_instructions", "synthetic_seed"))
    changes |= {"release": "data/real", "metrics": ["chrf", "rouge_l"]}
    changes |= {"counterfactual_systems": ["one"]}
    write_experiment("real", project, **changes, systems=["one", "two"])
    write_experiment("away", project, **changes, systems=["one", "away"])
    options = ("--cores", "2", "--configfile", "params/real.yaml")
    made = [
        "runs/real/tables/09_audit_counterfactuals.csv",
        "runs/real/tables/12_analyze_errors.csv",
        *(f"runs/real/status/score/{s}.json" for s in ("one", "two")),
    ]
    with ChatServer(quoting) as server:
        here = {"host": "127.0.0.1", "api_key_env": None}
        write_system("one", project, **system(server.port, **here))
        write_system("two", project, **system(server.port, **here, context_length=None))
        write_system("away", project, **system(server.port, api_key_env="HOME"))
        refused = run(project, "snakemake", *options[:3], "params/away.yaml", check=False)
        assert refused.returncode != 0 and "nothing was sent" in refused.stderr
        assert server.requests == []
        done = run(project, "snakemake", *made, *options)
        answered = len(server.requests)
        assert 6 < answered <= 12  # plus up to as many about rewritten records
        # A job that is rerun repeats no request.
        (project / "params/systems/one.yaml").open("a").write("shards: 1\n")
        run(project, "snakemake", "runs/real/status/generate/one.json", *options)
        assert len(server.requests) == answered
    assert "no answer key: responses are generated and scored, not rated" in done.stdout
    assert MARKER not in done.stdout + done.stderr
    files = [file for file in (project / "runs/real").rglob("*") if file.is_file()]
    holding = [file for file in files if MARKER.encode() in file.read_bytes()]
    rewritten = [file for file in holding if "counterfactuals" in file.parts]
    names = {file.name for file in holding if file not in rewritten}
    assert names == {"one.jsonl", "two.jsonl", "store.jsonl"}
    assert {file.parent.name for file in rewritten} >= {"ehrs", "responses"}
    table = pd.read_csv(project / "runs/real/tables/09_audit_counterfactuals.csv")
    assert len(table) == 2 and table[["n", "changed", "n_left_out"]].isna().all(axis=None)
    kinds = {file.suffix for file in files}
    assert {".ipynb", ".jsonl", ".parquet", ".csv", ".png"} <= kinds
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
