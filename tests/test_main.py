"""What commands do that no module's own tests cover."""

import subprocess
import sys
from itertools import pairwise

import pandas as pd

from medalign_utils import paths
from medalign_utils.__main__ import main
from medalign_utils.metrics.scoring import score_responses


def test_joined_scores_are_those_of_one_job_byte_by_byte(tmp_path):
    # Repeated texts and unequal lengths: what a batch would let hang together.
    texts = ["No.", "Creatinine was 1.4 mg/dL.", "x " * 40, "", "No."] * 3
    ids = [str(i) for i in range(len(texts))]
    responses = pd.DataFrame({"instruction_id": ids, "system": "s", "response": texts})
    instructions = pd.DataFrame({"instruction_id": ids, "question": "What?"})
    references = pd.DataFrame(
        {"instruction_id": ids, "annotator": "Annotator_1", "reference": [*texts[1:], "Yes."]}
    )
    references.loc[references["reference"] == "", "reference"] = "None known."

    def score(table, out):
        scored = score_responses(
            table, instructions, references, ["bertscore", "rouge_l", "chrf"],
            weights={"bertscore": "minilm"}, bertscore_layer=6, progress=False,
        )  # fmt: skip
        return paths.write_scores(scored.scores, out, private=False)

    whole = score(responses, tmp_path / "whole.parquet")
    bounds = [0, 4, 5, 15]
    parts = [
        score(responses.iloc[low:high], tmp_path / f"{low}.parquet")
        for low, high in pairwise(bounds)
    ]
    command = [sys.executable, "-m", "medalign_utils", "join-scores", tmp_path / "joined.parquet"]
    subprocess.run([*command, *parts], check=True)
    assert (tmp_path / "joined.parquet").read_bytes() == whole.read_bytes()


def test_scores_of_other_settings_are_not_joined(tmp_path, capsys):
    row = {"instruction_id": ["1"], "system": ["s"], "metric": ["chrf"], "score": [0.5]}
    parts = []
    for signature in ("a", "b"):
        frame = pd.DataFrame(row | {"signature": [signature]})
        parts.append(paths.write_scores(frame, tmp_path / f"{signature}.parquet", private=False))
    assert main(["join-scores", str(tmp_path / "joined.parquet"), *map(str, parts)]) == 2
    assert "b.parquet has [['chrf', 'b']], expected" in capsys.readouterr().err
