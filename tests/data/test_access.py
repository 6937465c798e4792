"""Releases are restricted unless proved synthetic."""

import json
import os

import pytest

from medalign_utils.data.release import load_release
from medalign_utils.synthetic import PUBLIC_SEED
from medalign_utils.synthetic import write_release as synthesize
from tests.builders.tiny_release import write_release

REVIEWS = "clinician-reviewed-model-responses.csv"


def set_manifest(folder, **changes):
    file = folder / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def append_to_an_ehr(folder):
    with min((folder / "ehrs").iterdir()).open("a") as file:
        file.write("\n")


def make_pipe(file):
    os.mkfifo(file)
    digests = json.loads((file.parents[1] / "manifest.json").read_text())["files"]
    set_manifest(file.parents[1], files=digests | {"ehrs/1.xml": "0"})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda f: set_manifest(f, synthetic="yes"), "lacks `synthetic: true` or the digests"),
        (lambda f: set_manifest(f, files=None), "lacks `synthetic: true` or the digests"),
        (lambda f: set_manifest(f, files={}), "is not listed in its manifest"),
        (
            lambda f: (f / "ehrs/1.xml").write_text("<a/>"),
            "ehrs/1.xml is not listed in its manifest",
        ),
        (append_to_an_ehr, "does not match its digest in manifest.json"),
        (lambda f: (f / REVIEWS).write_text("instruction_id\n"), f"{REVIEWS} is not listed in"),
        (lambda f: (f / "a.JSON").write_text("[]"), "a.JSON is not listed in its manifest"),
        (lambda f: (f / "manifest.json").unlink(), "it has no manifest.json"),
        (lambda f: make_pipe(f / "ehrs/1.xml"), "ehrs/1.xml is not a file"),
        (lambda f: (f / "ehrs/.DS_Store").write_text("x"), None),
        (lambda f: None, None),
    ],
)
def test_a_release_is_restricted_unless_its_manifest_proves_it_synthetic(tmp_path, change, reason):
    folder = tmp_path / "synthetic"
    synthesize(folder, patients=2, instructions=6, seed=1)
    manifest = (folder / "manifest.json").read_bytes()
    change(folder)
    found = load_release(folder).why_restricted
    assert found is None if reason is None else reason in found
    # A manifest says nothing about another release.
    other = write_release(tmp_path / "other")
    (other / "manifest.json").write_bytes(manifest)
    assert load_release(other).is_restricted


@pytest.mark.parametrize(
    ("seed", "origin"),
    [
        (PUBLIC_SEED, f"synthetic release, public seed {PUBLIC_SEED}"),
        (7, "synthetic release, fresh seed 7"),
    ],
)
def test_results_say_whether_the_seed_is_public(tmp_path, seed, origin):
    synthesize(tmp_path / "a", patients=2, instructions=6, seed=seed)
    assert load_release(tmp_path / "a").origin == origin
    # A release by an earlier version does not say whether its seed was the public one.
    manifest = json.loads((tmp_path / "a/manifest.json").read_text())
    del manifest["is_public_seed"]
    (tmp_path / "a/manifest.json").write_text(json.dumps(manifest))
    assert load_release(tmp_path / "a").origin == "synthetic release"
    (tmp_path / "a/manifest.json").unlink()
    assert load_release(tmp_path / "a").origin == "release with restricted terms of use"
