"""What a notebook saves in its run."""

import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib import pyplot as plt
from PIL import Image

from medalign_utils import paths, plots
from medalign_utils.__main__ import main
from medalign_utils.data.ehr_files import ehrs_digest
from medalign_utils.errors import MedAlignError
from medalign_utils.provenance.notebook import notebook_parameters
from medalign_utils.provenance.records import check_records, provenance_of
from medalign_utils.run import Run
from medalign_utils.synthetic import write_release
from tests.builders.tiny_release import write_release as write_tiny_release

SYSTEMS = "05_evaluate_systems"


def test_a_sentence_is_printed_and_saved_where_a_figure_does_not_apply(project, monkeypatch):
    displayed = []
    monkeypatch.setattr("IPython.display.display", displayed.append)
    run = Run("x", "data/x", notebook=SYSTEMS)
    run.save("There is one system.", "pairs")
    assert [output.data for output in displayed] == ["<p>There is one system.</p>"]
    picture = Image.open(paths.figure("x", "05_evaluate_systems-pairs"))
    assert picture.width > 5 * picture.height  # a line of text
    assert len(picture.getcolors(10_000)) > 2


def test_tables_and_figures_of_a_limited_run_say_so(project):
    write_release(project / "data/x", patients=2, instructions=8, seed=1)
    parameters = {"experiment": "x", "release": "data/x"}
    runs = {n: Run.of(parameters | {"limit": n}, notebook=SYSTEMS) for n in (None, 2)}
    with pytest.warns(UserWarning, match=r"^x@2: limited to 2 of \d instructions$"):
        limited_to = runs[2].limited_to
    table = pd.DataFrame({"system": ["a", "b"]})
    saved, pictures = {}, {}
    for limit, run in runs.items():
        run.save(table, "pairs")
        saved[limit] = run.read_table(SYSTEMS, "pairs")
        ax = plt.subplots(figsize=(2, 2), layout="constrained")[1]
        run.save(ax, "accuracy")
        file = paths.figure(run.experiment, "05_evaluate_systems-accuracy")
        pictures[limit] = np.asarray(Image.open(file))
        title = ax.figure.get_suptitle()
        assert title == ("" if limit is None else f"Limited to {limited_to}")
    assert saved[None].equals(table)
    assert saved[2].equals(table.assign(limited_to=limited_to))
    assert not np.array_equal(pictures[None], pictures[2])
    plt.close("all")


def test_figures_of_another_moment_have_the_same_bytes_and_their_fonts(project, monkeypatch):
    contents = []
    for second in ("1", "999999999"):  # by default, matplotlib writes the date
        monkeypatch.setenv("SOURCE_DATE_EPOCH", second)
        ax = plots.accuracy_by_system(pd.DataFrame({"system": ["a"], "n": 9, "correct": 0.5}))
        Run("x", "data/x", notebook=SYSTEMS).save(ax, "accuracy")
        files = sorted(paths.figure("x", "x").parent.iterdir())
        contents.append([file.read_bytes() for file in files])
        plt.close("all")
    assert [file.suffix for file in files] == [".pdf", ".png", ".svg"]
    assert contents[0] == contents[1]
    pdf, _, svg = contents[0]
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf  # TrueType, embedded
    assert b"<text" not in svg and b"font-family" not in svg
    assert not any(word in pdf + svg for word in (b"Date", b"dc:date", b"Matplotlib"))


@pytest.fixture
def parameters(project):
    return notebook_parameters(f"notebooks/{SYSTEMS}.ipynb") | {"experiment": "x", "save": True}


@pytest.fixture
def shown(monkeypatch):
    displayed = []
    monkeypatch.setattr("IPython.display.display", lambda output: displayed.append(output.data))
    return displayed


TABLE = pd.DataFrame({"system": ["a", "b"]})


@pytest.mark.parametrize(("name", "limit"), [("x", 20), ("x@5", 20), ("x@20", None)])
def test_a_limited_run_cannot_replace_another(name, limit):
    run = Run.of({"experiment": name, "release": "data/x", "limit": limit})
    assert run.experiment == ("x" if limit is None else "x@20")


def test_by_hand_nothing_is_saved(parameters, shown):
    run = Run.of_notebook(SYSTEMS, parameters | {"save": False})
    run.save(TABLE, "pairs")
    run.save("There is one system.", "pairs")
    run.save_file(TABLE, paths.patients("x"))
    assert not paths.report("x").parent.exists()
    assert shown == [
        "<p>Results are shown, but not saved in runs/x, because save = False.</p>",
        "<p>There is one system.</p>",
    ]


def test_scores_that_a_run_has_stay_unless_it_saves(project, shown):
    write_release(project / "data/x", patients=2, instructions=8, seed=1)
    scores = pd.DataFrame({"metric": ["chrf"], "score": [0.5]})
    for saves, changed, kept in ((False, 0.5, 0.5), (False, 0.6, 0.5), (True, 0.7, 0.7)):
        run = Run("x", "data/x", saves=saves)
        run.save_scores(scores.assign(score=changed), TABLE, "a")
        assert pd.read_parquet(paths.scores("x", "a"))["score"].tolist() == [kept]
    assert shown == ["<p>runs/x/scores/a.parquet stays as it is, because save = False.</p>"]


def test_a_table_says_what_made_it(parameters, capsys):
    run = Run.of_notebook(SYSTEMS, parameters | {"resamples": 50})
    run.save(TABLE, "pairs")
    file = paths.table("x", f"{SYSTEMS}-pairs")
    made = provenance_of(file)
    assert made["settings"]["resamples"] == 50 and "save" not in made["settings"]
    assert made["file"] == f"tables/{SYSTEMS}-pairs.csv" and made["versions"]["pandas"]
    assert main(["provenance", str(file)]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == made
    file.write_text("changed")
    with pytest.raises(MedAlignError, match="has changed since 05_evaluate_systems wrote it"):
        provenance_of(file)
    with pytest.raises(MedAlignError, match=r"not recorded how \S+Snakefile was made"):
        provenance_of("Snakefile")


def test_results_of_other_settings_are_not_mixed(parameters, shown):
    Run.of_notebook(SYSTEMS, parameters).save(TABLE)
    assert check_records(parameters) == []
    again = r"`make reproduce EXPERIMENT=params/x\.yaml` makes"
    other = parameters | {"systems": ["a", "b"]}
    different = rf"systems = \[{', '.join(parameters['systems'])}\], not \[a, b\]"
    with pytest.raises(MedAlignError, match=rf"{SYSTEMS} with {different}\. {again}"):
        check_records(other)
    with pytest.raises(
        MedAlignError, match=rf"{SYSTEMS}.csv was made with {different} as here: {again}"
    ):
        Run.of_notebook(SYSTEMS, other).read_table(SYSTEMS)
    assert shown == []
    assert Run.of_notebook(SYSTEMS, other | {"save": False}).read_table(SYSTEMS).equals(TABLE)
    assert f"{SYSTEMS}.csv was made with systems = [" in shown[-1]
    # Results of earlier settings leave the record, so they cannot be taken for new ones.
    Run.of_notebook(SYSTEMS, other).save(TABLE, "pairs")
    with pytest.raises(
        MedAlignError, match=rf"x has results [^:]*: {SYSTEMS}\.csv in another way\."
    ):
        check_records(other)


def test_tables_may_lack_systems_that_failed(parameters):
    Run.of_notebook(SYSTEMS, parameters).save(TABLE)
    with_failed = parameters | {"systems": [*parameters["systems"], "broken"]}
    assert check_records(with_failed, failed={"broken"}) == []
    with pytest.raises(MedAlignError, match="broken"):
        check_records(with_failed)


def test_a_restricted_run_by_hand_keeps_all_its_files_private(project):
    write_tiny_release(project / "data/real")
    run = Run("x", "data/real", notebook=SYSTEMS)
    old = paths.write_text("a log", project / "runs/x/notebooks/05.log", private=False)
    assert old.stat().st_mode & 0o044
    assert run.is_restricted
    run.save_file(pd.DataFrame({"person_id": ["40"]}), paths.patients("x"))
    run.save("A sentence.", "pairs")
    (project / "runs/x/copy.ipynb").write_text("{}")
    files = [project / "runs/x", *(project / "runs/x").rglob("*")]
    assert len(files) > 6 and not [file for file in files if file.stat().st_mode & 0o077]


def test_a_digest_of_all_ehrs_notices_a_change(project):
    folder = write_tiny_release(project / "data/real")
    before = ehrs_digest(folder)
    assert ehrs_digest(folder) == before
    (folder / "ehrs/40.xml").rename(folder / "ehrs/41.xml")
    renamed = ehrs_digest(folder)
    (folder / "ehrs/41.xml").open("a").write("\n")
    assert len({before, renamed, ehrs_digest(folder)}) == 3
