"""Mistakes in an experiment or a system are reported in one line, before any work."""

from pathlib import Path

import pytest
import yaml

from medalign_utils import paths
from medalign_utils.config import (
    JOB_KEYS,
    SYNTHETIC_KEYS,
    Experiment,
    context_series,
    for_notebook,
    load_experiment,
    load_system,
    notebook_parameters,
    notebooks,
    parameters,
)
from medalign_utils.errors import MedAlignError, ParamsError
from medalign_utils.run import Run
from tests.builders.project import write_experiment, write_system
from tests.builders.tiny_release import write_release


def test_overrides_are_checked_like_the_file(project):
    path = write_experiment("mine")
    loaded = load_experiment(path, {"resamples": 7})
    assert (loaded["experiment"], loaded["resamples"]) == ("mine", 7)
    with pytest.raises(ParamsError, match="unknown key 'resample'; did you mean 'resamples'"):
        load_experiment(path, {"resample": 7})


def test_an_experiment_inherits_the_keys_it_does_not_set(project):
    base = load_experiment(write_experiment("large", counterfactual_systems=["bm25-2k"]))
    path = Path("params/small.yaml")
    path.write_text("base: large\nsystems: [random-2k, bm25-2k]\nresamples: 7\n")
    small = load_experiment(path)
    content = {"experiment": "small", "systems": ["random-2k", "bm25-2k"], "resamples": 7}
    assert small == base | content
    path.write_text("base: large\nsystems: [random-2k, bm25-8k]\n")
    assert load_experiment(path)["counterfactual_systems"] == []


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("lage", "base: no experiment 'lage'; did you mean 'large'?"),
        ("[a]", r"base: no experiment \['a'\]"),
        ("small", "base: small has a base itself; use its base instead"),
    ],
)
def test_a_base_that_cannot_be_inherited_is_named(project, base, message):
    write_experiment("large")
    Path("params/small.yaml").write_text(f"base: {base}\n")
    with pytest.raises(ParamsError, match=f"^params/small.yaml: {message}"):
        load_experiment("params/small.yaml")


def test_a_notebook_run_by_hand_gets_an_experiments_parameters(project):
    write_experiment("large")
    Path("params/mine.yaml").write_text("base: large\nsystems: [bm25-2k]\nresamples: 7\nlimit: 5\n")
    names = notebook_parameters("notebooks/05_evaluate_systems.ipynb")
    names |= parameters("mine")
    assert names["save"] is False and names["systems"] == ["bm25-2k"]
    run = Run.of_notebook("05_evaluate_systems", names)
    assert (run.experiment, run.resamples, run.limit) == ("mine@5", 7, 5)
    assert run.release_folder == "data/tiny" and not run.saves
    with pytest.raises(ParamsError, match="no file"):
        parameters("none")


def test_an_experiments_wording_is_that_of_its_systems(project):
    prompt = {"answer": "{record} {instruction}", "system": "Be brief."}
    write_system("own", prompt={"system": "Be kind."})
    path = write_experiment("mine", prompt=prompt, systems=["own", "bm25-2k"])
    assert load_experiment(path)["prompt"] == prompt
    assert load_system("bm25-2k", prompt)["prompt"] == prompt
    assert load_system("own", prompt)["prompt"] == prompt | {"system": "Be kind."}
    assert "prompt" not in load_system("bm25-2k")
    write_experiment("mine", prompt={"answer": "{record}"})
    with pytest.raises(ParamsError, match=r"^params/mine.yaml: prompt: answer: found \{record\},"):
        load_experiment(path)


@pytest.mark.parametrize("name", ["GPT 4", "Größe", "llama3.1:8b"])
def test_a_name_that_cannot_name_files_is_explained(project, name):
    with pytest.raises(ParamsError, match=f"'{name}' becomes a name of files .* rename its file"):
        load_experiment(write_experiment(name))
    write_system(name)
    with pytest.raises(ParamsError, match=f"systems: '{name}' becomes a name .* rename its file"):
        load_experiment(write_experiment("mine", systems=["bm25-2k", name]))


def test_a_limited_experiment_has_a_name_that_no_other_can_have(project):
    path = write_experiment("mine")
    assert load_experiment(path)["experiment"] == "mine"
    assert load_experiment(path, {"limit": None})["experiment"] == "mine"
    limited = load_experiment(write_experiment("mine", limit=20))
    assert (limited["experiment"], limited["limit"]) == ("mine@20", 20)
    assert load_experiment(write_experiment("mine", limit=20), {"limit": 5})["limit"] == 5
    with pytest.raises(ParamsError, match="'mine@20' becomes a name of files"):
        load_experiment(write_experiment("mine@20"))
    missing = paths.figure("mine@20", "x")
    with pytest.raises(
        MedAlignError, match=r"`make reproduce EXPERIMENT=params/mine\.yaml` writes"
    ):
        paths.require("mine@20", missing)


def test_the_keys_are_the_notebooks_parameters():
    parameters = {name for path in notebooks() for name in notebook_parameters(path)}
    known = Experiment.model_fields.keys() - set(SYNTHETIC_KEYS)
    assert parameters - set(JOB_KEYS) == known
    content = yaml.safe_load(paths.resolve("params/paper.yaml").read_text())  # without the release
    Experiment.model_validate(content)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resample": 5}, "unknown key 'resample'; did you mean 'resamples'?"),
        ({"zzz": 5}, "unknown key 'zzz'; known: annotator, bertscore_layer, "),
        ({"system": "a"}, "unknown key 'system'"),
        ({"seed": None}, "no value for seed"),
        ({"limit": 0}, "limit: 0, expected at least 1"),
        ({"limit": "20"}, "limit: '20', expected a whole number"),
        ({"seed": True}, "seed: True, expected a whole number"),
        ({"seed": -1}, "seed: -1, expected at least 0"),
        ({"systems": "bm25-2k"}, "systems: 'bm25-2k', expected a list"),
        ({"systems": []}, "systems: [], expected 1 or more items"),
        ({"systems": ["bm25-2k"] * 2}, "systems: bm25-2k named twice"),
        ({"systems": ["bm25-2k", "bm25-3k"]}, "no system 'bm25-3k' in params/systems/; did you"),
        ({"systems": ["bm25-2k", "../demo"]}, "no system '../demo' in params/systems/"),
        ({"systems": ["bm25-2k", 7]}, "systems: 7, expected text"),
        ({"counterfactual_systems": ["bm25-3k"]}, "counterfactual_systems: no system 'bm25-3k'"),
        ({"counterfactual_changes": ["sex"]}, "no change 'sex'; known: age, ethn"),
        ({"simulated_releases": -1}, "simulated_releases: -1, expected at least 5"),
        ({"rouge_threshold": 1.5}, "rouge_threshold: 1.5, expected at most 1"),
        ({"synthetic_seed": None}, "synthetic_instructions; give all or none of synthetic_pati"),
        ({"responses": "relased"}, "no source of responses 'relased'; did you mean 'released'?"),
        ({"metrics": []}, "metrics: [], expected 1 or more items"),
        ({"metrics": ["rouge"]}, "metrics: no metric 'rouge'; did you mean 'rouge_l'?"),
        ({"comet_checkpoint": "models/mine.ckpt"}, "comet_checkpoint: no file models/mine.ckpt"),
        ({"comet_checkpoint": "/no/model"}, "no folder /no/model"),
        ({"pairs": [["gender", "income"]]}, "pairs: ['gender', 'income'], expected two of gender"),
        ({"pairs": ["gender"]}, "pairs: 'gender', expected two of gender, race, "),
        ({"pairs": [["age", "race"], ["race", "age"]]}, "pairs: age x race named twice"),
        ({"pairs": [["age", "age"]]}, "pairs: age x age named twice"),
        ({"weights": {"blurt": "a/b"}}, "no metric with weights 'blurt'; did you mean 'bleurt'?"),
        ({"weights": {"bleurt": None}}, "weights: bleurt: None, expected text"),
        ({"weights": {"lens": "params/none"}}, "no folder params/none"),
    ],
)
def test_a_wrong_experiment_is_one_clear_line(project, changes, message):
    with pytest.raises(ParamsError) as caught:
        load_experiment(write_experiment("mine", **changes))
    assert str(caught.value).startswith("params/mine.yaml: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"generator": "bm26_passage"}, "mine.yaml: .*'bm26_passage'"),
        ({"contextlength": 1}, "mine.yaml: .*'contextlength'"),
        ({"shards": 0}, "mine.yaml: shards: .*0"),
    ],
)
def test_a_wrong_system_is_one_clear_line(project, changes, message):
    write_system("mine", **changes)
    with pytest.raises(ParamsError, match=f"^params/tiny.yaml: systems: .*{message}[^\n]*$"):
        load_experiment(write_experiment("tiny", systems=["bm25-2k", "mine"]))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [1\nb: 2\n", "not YAML: [^\n]* line 2[^\n]*$"),
        (b"seed: 1\nseed: 2\n", "not YAML: [^\n]*'seed'[^\n]*$"),
        (b"- a\n", "expected `key: value` lines"),
        (b"a: \xff\n", "not UTF-8"),
        (b"a: &x {b: 1}\nc:\n  <<: *x\n", "not YAML: merge keys [^\n]*`base:`[^\n]*line 3"),
        (b"seed: 010\n", "not YAML: 010 would be read as 8; write 8, or put it in quotes"),
        (b"seed: 1:30\n", "not YAML: 1:30 would be read as 90"),
    ],
)
def test_a_file_that_is_not_yaml_is_named(project, content, message):
    Path("params/mine.yaml").write_bytes(content)
    with pytest.raises(ParamsError, match=f"^params/mine.yaml: {message}"):
        load_experiment("params/mine.yaml")


@pytest.mark.parametrize("name", ["../a", "a/b", ".a", "-a", "{a}", "a\nb"])
def test_a_released_system_with_a_name_unfit_for_files_is_refused(project, name):
    changes = {"responses": "released", "counterfactual_systems": []}
    with pytest.raises(ParamsError, match=r"systems: .* has characters that a file name may not"):
        load_experiment(write_experiment("mine", systems=["GPT-4 (32k)", name], **changes))


def test_a_release_must_exist_unless_synthetic_and_is_not_overwritten(project):
    write_release(Path("data/real"))
    Path("data/real/manifest.json").write_text('{"synthetic": true, "files": {}}')
    overwriting = write_experiment("overwriting", release="data/real")
    with pytest.raises(ParamsError, match=r"this experiment writes one: .*may be a real release"):
        load_experiment(overwriting)
    real = write_experiment("real", release="data/mine", **dict.fromkeys(SYNTHETIC_KEYS))
    with pytest.raises(ParamsError, match=r"^params/real.yaml: release: .*no folder .*data/mine"):
        load_experiment(real)
    Path("data/mine").mkdir(parents=True)
    path = write_experiment("mine", release="data/mine")
    load_experiment(path)
    Path("data/mine/all-instructions-rouge.tsv").write_text("instruction_id\tquestion\n")
    with pytest.raises(ParamsError, match=r"data/mine holds tables .*no manifest\.json"):
        load_experiment(path)


def test_a_parameter_without_a_value_or_not_a_literal_is_an_error(project):
    notebook = Path("notebooks/01_explore_release.ipynb")
    original = notebook.read_text()
    with pytest.raises(ParamsError, match=r"01_explore_release\.ipynb: no value for .*annotator"):
        for_notebook(notebook, {"experiment": "a", "release": "b"})
    notebook.write_text(original.replace('\\"data/demo\\"', "open"))
    with pytest.raises(ParamsError, match=r"may only assign literals to names, found .*open"):
        notebook_parameters(notebook)
    notebook.write_text(original.replace('"parameters"', '"other"'))
    with pytest.raises(ParamsError, match="0 cells tagged `parameters`, expected 1"):
        notebook_parameters(notebook)


def test_a_series_differs_only_in_context_length(project):
    write_system("mine", context_length=4096, format="markup")
    names = ["minilm-2k", "bm25-2k", "mine", "bm25-full"]
    assert context_series(names) == {"bm25-2k": 2048, "bm25-full": None}


def test_paths_are_relative_to_the_root_and_missing_ones_name_their_command(project, monkeypatch):
    below = project / "runs/mine/notebooks"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert paths.resolve("data/mine") == project / "data/mine"
    with pytest.raises(MedAlignError) as caught:
        paths.require("mine", *(paths.responses("mine", name) for name in "abcde"))
    assert str(caught.value) == (
        "missing runs/mine/responses/a.jsonl, runs/mine/responses/b.jsonl, "
        "runs/mine/responses/c.jsonl and 2 more; `make reproduce EXPERIMENT=params/mine.yaml` "
        "writes them, if params/mine.yaml includes them"
    )
