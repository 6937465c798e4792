from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file
from scipy.stats import kendalltau

from medalign_utils.errors import MedAlignError
from medalign_utils.metrics.comet import score_comet
from tests.builders.tiny_pairs import tiny_pairs
from tools.comet_compact.pairs import labelled_pairs
from tools.comet_compact.train import check_pairs, train

COMMITTED = Path(__file__).parents[2] / "models/comet-compact"
FILES = ("model.safetensors", "hparams.yaml", "held_out.csv")
EPOCHS = 150  # of one batch each


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    import torch

    out = tmp_path_factory.mktemp("models") / "comet-compact"
    torch.manual_seed(5)
    before = torch.get_num_threads(), torch.random.get_rng_state()
    table = train(tiny_pairs(), out, seed=1, epochs=EPOCHS, progress=False)
    # Training leaves PyTorch's settings and random state unchanged.
    assert torch.get_num_threads() == before[0]
    assert torch.equal(torch.random.get_rng_state(), before[1])
    assert not torch.are_deterministic_algorithms_enabled()
    return out, table


def test_train_learns_what_decides_the_label(trained):
    out, table = trained
    pd.testing.assert_frame_equal(pd.read_csv(out / "held_out.csv"), table)
    table = table.set_index("metric")
    assert list(table.index) == [
        "comet-compact",
        "untrained estimator",
        "response length",
        "comet-compact minus response length",
    ]
    # Labels are tied in pairs, so with four different scores tau-b cannot exceed 4 / sqrt(4 * 6).
    assert table.loc["comet-compact", "mean_tau"] > 0.8 * 4 / np.sqrt(24)
    assert table.loc["comet-compact minus response length", "mean_tau_low"] > 0
    assert (table["n"] + table["n_undefined"] == 4).all()


def test_the_table_describes_the_saved_weights(trained):
    out, table = trained
    held_out = tiny_pairs().query("fold == 'held_out'")
    columns = [held_out[name].tolist() for name in ("source", "prediction", "reference")]
    scores = score_comet(*columns, checkpoint=out)
    labels = held_out["label"].to_numpy().reshape(4, 4)  # instructions x answers
    taus = [kendalltau(*pair).statistic for pair in zip(scores.reshape(4, 4), labels, strict=True)]
    assert np.nanmean(taus) == pytest.approx(table["mean_tau"][0])
    assert ((scores >= 0) & (scores <= 1)).all()


def test_train_is_deterministic_and_writes_no_path(trained, tmp_path):
    out, _ = trained
    train(tiny_pairs(), tmp_path / "again", seed=1, epochs=EPOCHS, progress=False)
    for name in FILES:
        content = (out / name).read_bytes()
        assert (tmp_path / "again" / name).read_bytes() == content
        assert b"site-packages" not in content


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda pairs: pairs.drop(columns="label"), "no column label; found: source, "),
        (lambda pairs: pairs.assign(label=-0.1), "label -0.1 of instruction 0, expected 0 to 1"),
        (lambda pairs: pairs.assign(label=np.nan), "label nan of instruction 0, expected 0 to 1"),
        (lambda pairs: pairs.assign(fold="train"), r"folds \['train'\], expected \["),
        (lambda pairs: pairs.assign(person_id="7"), "person_id 7 is in both folds"),
        (lambda pairs: pairs.assign(instruction_id="7"), "instruction_id 7 is in both folds"),
        (lambda pairs: pairs.assign(label=0.5), "no instruction of the fold train has answers"),
    ],
)
def test_check_pairs_names_the_fault(change, message):
    with pytest.raises(MedAlignError, match=f"check_pairs: {message}"):
        check_pairs(change(tiny_pairs()))


@pytest.mark.slow
def test_training_gives_the_committed_weights(tmp_path):
    # Identical on one machine; another CPU sums in another order, which moved weights by 7e-7.
    table = train(labelled_pairs(progress=False), tmp_path, seed=1, progress=False)
    committed, again = (load_file(folder / FILES[0]) for folder in (COMMITTED, tmp_path))
    assert committed.keys() == again.keys()
    for name, weights in committed.items():
        np.testing.assert_allclose(again[name], weights, atol=1e-4, rtol=0, err_msg=name)
    assert (tmp_path / FILES[1]).read_bytes() == (COMMITTED / FILES[1]).read_bytes()
    expected = pd.read_csv(COMMITTED / FILES[2])
    pd.testing.assert_frame_equal(table, expected, atol=0.02, check_exact=False)
    assert not set(FILES) - {file.name for file in COMMITTED.iterdir()}
