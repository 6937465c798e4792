"""What an experiment or a system gets wrong is said in one line, before any work."""

import shutil
from pathlib import Path

import pytest
import yaml

from medalign_utils import paths
from medalign_utils.config import (
    SYNTHETIC_KEYS,
    context_series,
    for_notebook,
    load_experiment,
    notebook_parameters,
)
from medalign_utils.errors import MedAlignError, ParamsError

ROOT = Path(__file__).parents[1]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of its own to get things wrong in."""
    shutil.copy(ROOT / "Snakefile", tmp_path)
    for folder in ("notebooks", "params"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def experiment(**changes):
    """Write the demo with changes, a value of None removing the key; return its path."""
    content = yaml.safe_load(Path("params/demo.yaml").read_text()) | changes
    content = {key: value for key, value in content.items() if value is not None}
    Path("params/mine.yaml").write_text(yaml.safe_dump(content))
    return "params/mine.yaml"


def system(**changes):
    """Write bm25-2k with changes as the system `mine`."""
    content = yaml.safe_load(Path("params/systems/bm25-2k.yaml").read_text()) | changes
    Path("params/systems/mine.yaml").write_text(yaml.safe_dump(content))
    return "mine"


def test_an_experiment_is_named_by_its_file(project):
    loaded = load_experiment(experiment(resamples=10))
    assert loaded["experiment"] == "mine"
    assert loaded["resamples"] == 10


def test_overrides_are_checked_like_the_file(project):
    assert load_experiment(experiment(), {"resamples": 7})["resamples"] == 7
    with pytest.raises(ParamsError, match="unknown key 'resample'; did you mean 'resamples'"):
        load_experiment(experiment(), {"resample": 7})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resample": 5}, "mine.yaml: unknown key 'resample'; did you mean 'resamples'?"),
        ({"zzz": 5}, "mine.yaml: unknown key 'zzz'; known: annotator, bertscore_layer, "),
        ({"system": "a"}, "mine.yaml: unknown key 'system'"),
        ({"seed": None}, "mine.yaml: lacks seed"),
        ({"seed": "one"}, "mine.yaml: seed: 'one' is str, expected int, such as 1"),
        ({"seed": True}, "mine.yaml: seed: True is bool, expected int"),
        ({"systems": "bm25-2k"}, "mine.yaml: systems: 'bm25-2k' is str, expected list"),
        ({"systems": ["bm25-2k"]}, "expected at least 2 to compare"),
        ({"systems": ["bm25-2k"] * 2}, "mine.yaml: systems: bm25-2k named twice"),
        ({"systems": ["bm25-2k", "bm25-3k"]}, "no system 'bm25-3k' in params/systems/; did you"),
        ({"systems": ["bm25-2k", "../demo"]}, "no system '../demo' in params/systems/"),
        ({"systems": ["bm25-2k", 7]}, "no system 7 in params/systems/; known: "),
        (
            {"counterfactual_systems": ["bm25-3k"]},
            "mine.yaml: counterfactual_systems: 'bm25-3k'; did you mean 'bm25-8k'?",
        ),
        ({"resamples": 0}, "mine.yaml: resamples: 0, expected at least 1"),
        ({"simulated_releases": -1}, "simulated_releases: -1, expected at least 5"),
        ({"rouge_threshold": 1.5}, "rouge_threshold: 1.5, expected 0 to 1"),
        ({"seed": -1}, "seed: -1, expected at least 0"),
        ({"synthetic_patients": 0}, "synthetic_patients: 0, expected at least 1"),
        ({"counterfactual_changes": ["sex"]}, "counterfactual_changes: 'sex'; known: age, ethn"),
        ({"counterfactual_changes": ["age"] * 2}, "counterfactual_changes: age named twice"),
        ({"metrics": []}, "mine.yaml: metrics: empty, expected some of comet, bertscore"),
        ({"metrics": ["rouge"]}, "metrics: no metric 'rouge'; did you mean 'rouge_l'?"),
        ({"metrics": ["chrf", "chrf"]}, "metrics: chrf named twice"),
        ({"comet_checkpoint": "models/mine.ckpt"}, "comet_checkpoint: no file models/mine.ckpt"),
        (
            {"pairs": [["gender", "income"]]},
            "pairs: ['gender', 'income'], expected two of gender, r",
        ),
        ({"pairs": ["gender"]}, "mine.yaml: pairs: 'gender', expected two of gender, race, "),
        ({"pairs": [["age", "race"], ["race", "age"]]}, "pairs: age x race named twice"),
        ({"pairs": [["age", "age"]]}, "mine.yaml: pairs: age x age named twice"),
        ({"weights": {"blurt": "a/b"}}, "weights: no metric 'blurt' with weights; did you mean"),
        ({"weights": {"bleurt": None}}, "weights: bleurt: None, expected a folder or a hub id"),
        ({"weights": {"lens": "params/none"}}, "mine.yaml: weights: no folder params/none"),
        ({"comet_checkpoint": "/no/model"}, "mine.yaml: weights: no folder /no/model"),
        ({"synthetic_seed": None}, "without the rest of synthetic_patients, "),
    ],
)
def test_a_wrong_experiment_is_one_clear_line(project, changes, message):
    with pytest.raises(ParamsError) as caught:
        load_experiment(experiment(**changes))
    assert message in str(caught.value)
    assert "params/mine.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"generator": "bm26_passage"}, "mine.yaml: no generator 'bm26_passage'; did you mean"),
        ({"shards": 0}, "mine.yaml: shards: found 0, expected a whole number from 1"),
    ],
)
def test_a_wrong_system_is_one_clear_line(project, changes, message):
    with pytest.raises(ParamsError) as caught:
        load_experiment(experiment(systems=["bm25-2k", system(**changes)]))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_yaml_is_named(project):
    Path("params/mine.yaml").write_text("a: [1\nb: 2\n")
    with pytest.raises(ParamsError, match=r"^params/mine.yaml: not YAML: .* line 2") as caught:
        load_experiment("params/mine.yaml")
    assert "\n" not in str(caught.value)
    Path("params/mine.yaml").write_text("- a\n")
    with pytest.raises(ParamsError, match=r"mine.yaml: expected `key: value` lines"):
        load_experiment("params/mine.yaml")
    with pytest.raises(ParamsError, match=r"no file .*params/none.yaml"):
        load_experiment("params/none.yaml")


def test_a_release_that_is_not_there_is_named(project):
    changes = dict.fromkeys(SYNTHETIC_KEYS)
    with pytest.raises(MedAlignError, match=r"no folder .*data/mine"):
        load_experiment(experiment(release="data/mine", **changes))


def test_a_synthetic_experiment_does_not_write_over_a_release(project):
    Path("data/mine").mkdir(parents=True)
    path = experiment(release="data/mine")
    load_experiment(path)
    Path("data/mine/all-instructions-rouge.tsv").write_text("instruction_id\tquestion\n")
    with pytest.raises(ParamsError, match=r"data/mine holds tables but no manifest\.json"):
        load_experiment(path)


def test_a_parameters_cell_with_more_than_literals_is_an_error(project):
    notebook = Path("notebooks/01_explore_release.ipynb")
    original = notebook.read_text()
    notebook.write_text(original.replace('\\"data/demo\\"', "open"))
    with pytest.raises(ParamsError, match="parameter release is not a literal"):
        notebook_parameters(notebook)
    notebook.write_text(original.replace('"parameters"', '"other"'))
    with pytest.raises(ParamsError, match="0 cells tagged `parameters`, expected 1"):
        notebook_parameters(notebook)


def test_a_parameter_without_a_value_is_an_error():
    with pytest.raises(
        ParamsError, match=r"03_generate_responses\.ipynb: no value for columns, system"
    ):
        for_notebook("notebooks/03_generate_responses.ipynb", {"experiment": "a", "release": "b"})


def test_a_series_differs_in_context_length_alone(project):
    system(context_length=4096, format="markup")
    names = ["minilm-2k", "bm25-2k", "mine", "bm25-full"]
    assert context_series(names) == {"bm25-2k": 2048, "bm25-full": None}


def test_missing_inputs_name_the_command_that_makes_them(project):
    files = [paths.responses("mine", f"system-{i}") for i in range(5)]
    with pytest.raises(MedAlignError) as caught:
        paths.require("mine", *files)
    assert str(caught.value) == (
        "missing runs/mine/responses/system-0.jsonl, runs/mine/responses/system-1.jsonl, "
        "runs/mine/responses/system-2.jsonl and 2 more; "
        "`snakemake --configfile params/mine.yaml` makes them"
    )


def test_paths_count_from_the_root_wherever_in_the_project_one_is(project, monkeypatch):
    below = project / "runs" / "mine" / "notebooks"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert paths.resolve("data/mine") == project / "data" / "mine"
