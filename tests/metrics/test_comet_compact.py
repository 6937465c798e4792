import numpy as np
import pandas as pd
import pytest
import scipy.stats

from medalign_utils.errors import MedAlignError
from medalign_utils.metrics.comet import score_comet
from tests.builders.tiny_pairs import tiny_pairs
from tools.comet_compact import train as comet_compact
from tools.comet_compact.train import check_pairs, correlate_held_out

EPOCHS = 150  # of one batch each


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("models") / "comet-compact"
    return out, comet_compact.train(tiny_pairs(), out, seed=1, epochs=EPOCHS, progress=False)


def test_train_learns_what_decides_the_label(trained):
    _, table = trained
    table = table.set_index("metric")
    assert list(table.index) == [
        "comet-compact",
        "untrained estimator",
        "response length",
        "comet-compact minus response length",
    ]
    # Labels are tied in twos: with all four scores apart, tau-b is at most 4 / sqrt(4 * 6).
    assert table.loc["comet-compact", "mean_tau"] > 0.8 * 4 / np.sqrt(24)
    assert table.loc["comet-compact minus response length", "mean_tau_low"] > 0
    assert (table["n"] + table["n_undefined"] == 4).all()


def test_train_writes_the_table_it_returns(trained):
    out, table = trained
    pd.testing.assert_frame_equal(pd.read_csv(out / "held_out.csv"), table)


def test_the_table_is_that_of_the_saved_checkpoint(trained):
    out, table = trained
    held_out = tiny_pairs().query("fold == 'held_out'")
    columns = [held_out[name].tolist() for name in ("source", "prediction", "reference")]
    scores = score_comet(*columns, checkpoint=out)
    length = held_out["prediction"].str.len().to_numpy()
    again = correlate_held_out(
        held_out, {"saved": scores, "length": length}, rng=np.random.default_rng(1)
    )
    assert again["mean_tau"][0] == pytest.approx(table["mean_tau"][0])
    assert ((scores >= 0) & (scores <= 1)).all()


def test_train_gives_the_same_bytes_twice(trained, tmp_path):
    out, _ = trained
    comet_compact.train(tiny_pairs(), tmp_path / "again", seed=1, epochs=EPOCHS, progress=False)
    for name in ("checkpoints/model.ckpt", "hparams.yaml", "held_out.csv"):
        assert (tmp_path / "again" / name).read_bytes() == (out / name).read_bytes()


def test_the_checkpoint_holds_no_path_and_can_be_moved(trained, tmp_path):
    out, _ = trained
    assert b"site-packages" not in (out / "checkpoints" / "model.ckpt").read_bytes()
    assert "site-packages" not in (out / "hparams.yaml").read_text("utf-8")
    texts = [["How was creatinine?"], ["It was high."], ["High."]]
    before = score_comet(*texts, checkpoint=out)
    moved = tmp_path / "elsewhere"
    for name in ("checkpoints/model.ckpt", "hparams.yaml"):
        (moved / name).parent.mkdir(parents=True, exist_ok=True)
        (moved / name).symlink_to(out / name)
    np.testing.assert_array_equal(score_comet(*texts, checkpoint=moved), before)


def test_train_leaves_pytorchs_settings_and_random_numbers_alone(tmp_path):
    import torch

    torch.manual_seed(5)
    before = torch.get_num_threads(), torch.random.get_rng_state()
    comet_compact.train(tiny_pairs(), tmp_path, seed=1, epochs=1, progress=False)
    assert torch.get_num_threads() == before[0]
    assert torch.equal(torch.random.get_rng_state(), before[1])
    assert not torch.are_deterministic_algorithms_enabled()


def test_correlate_held_out_against_scipy():
    rng = np.random.default_rng(2)
    held_out = pd.DataFrame(
        {
            "label": rng.integers(0, 4, size=60) / 3,
            "instruction_id": np.repeat([f"{i}" for i in range(10)], 6),
            "person_id": np.repeat([f"p{i}" for i in range(5)], 12),
        }
    )
    scores = {"metric": rng.random(60), "length": rng.integers(1, 5, size=60)}
    table = correlate_held_out(held_out, scores, rng=rng)
    taus = {
        name: [
            scipy.stats.kendalltau(score[i : i + 6], held_out["label"][i : i + 6]).statistic
            for i in range(0, 60, 6)
        ]
        for name, score in scores.items()
    }
    np.testing.assert_allclose(
        table["mean_tau"],
        [
            np.nanmean(taus["metric"]),
            np.nanmean(taus["length"]),
            np.nanmean(np.subtract(taus["metric"], taus["length"])),
        ],
    )
    assert (table["mean_tau_low"] < table["mean_tau"]).all()
    assert (table["mean_tau"] < table["mean_tau_high"]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda pairs: pairs.drop(columns="label"), "no column label; found: source, "),
        (lambda pairs: pairs.assign(label=-0.1), "label -0.1 of instruction 0, expected 0 to 1"),
        (lambda pairs: pairs.assign(label=np.nan), "label nan of instruction 0, expected 0 to 1"),
        (lambda pairs: pairs.assign(fold="train"), r"folds \['train'\], expected both of"),
        (lambda pairs: pairs.assign(person_id="7"), "person_id 7 is in both folds"),
        (lambda pairs: pairs.assign(instruction_id="7"), "instruction_id 7 is in both folds"),
        (
            lambda pairs: pairs.assign(label=0.5),
            "in the fold train no instruction has answers with",
        ),
    ],
)
def test_check_pairs_names_the_fault(change, message):
    with pytest.raises(MedAlignError, match=f"check_pairs: {message}"):
        check_pairs(change(tiny_pairs()))
