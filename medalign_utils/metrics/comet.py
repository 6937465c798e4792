"""COMET through unbabel-comet, from any checkpoint.

If a checkpoint has its weights in ``model.safetensors``, as comet-compact does, these include no
encoder; the encoder is then the bundled MiniLM.
"""

import contextlib
import hashlib
import logging
import pickle
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from medalign_utils.errors import MedAlignError, NotAvailableError
from medalign_utils.hub import ENCODER, find_checkpoint, in_one_line, loading
from medalign_utils.metrics.base import DECIMALS, Metric, check_texts
from medalign_utils.minilm import MINILM_NAME, MINILM_SHA256, ROWS, fixed_batches, minilm_path

if TYPE_CHECKING:
    from comet.models import RegressionMetric
    from comet.models.base import CometModel

PAPER_CHECKPOINT = "Unbabel/wmt22-comet-da"
MINILM_HUB_ID = f"sentence-transformers/{MINILM_NAME}"
COMPACT = ("hparams.yaml", "model.safetensors")
LIBRARY = ("hparams.yaml", "checkpoints/model.ckpt")
# What the library's classes read besides the response, unless `input_segments` overrides it.
_READ = {
    "regression_metric": ("src", "ref"),
    "ranking_metric": ("src", "ref"),
    "xcomet_metric": ("src", "ref"),
    "unified_metric": ("src", "ref"),
    "referenceless_regression_metric": ("src",),
}


def score_comet(
    questions: Sequence[str],
    responses: Sequence[str],
    references: Sequence[str],
    *,
    checkpoint: str | Path,
    progress: bool = False,
) -> np.ndarray:
    """Return COMET of each response, with its question as source: float64, (N,), 6 decimals.

    The range depends on the checkpoint: [0, 1] for comet-compact, about [0, 1] for the WMT22
    models, unbounded for older ones. The paper names neither its checkpoint nor its source (with or
    without the EHR), so the scores are not comparable with the paper's.

    `checkpoint` is a ``.ckpt`` file, a hub id, or a folder with ``hparams.yaml`` and either
    ``checkpoints/model.ckpt`` or ``model.safetensors``. The scores agree with the library's
    ``predict`` to 1e-5. Texts are cut at the encoder's limit; empty texts are scored like others.

    Raises: NotAvailableError if the checkpoint or its encoder cannot be reached; MedAlignError if
    it does not load, or as `check_texts`.

    Source: Rei et al. 2020, 2022.

    >>> right, wrong = score_comet(["Last creatinine?"] * 2, ["1.4", "Unknown."],
    ...                            ["1.4 mg/dL"] * 2, checkpoint="models/comet-compact")
    >>> bool(right > wrong)
    True
    """
    check_texts("score_comet", questions=questions, responses=responses, references=references)
    path = find_comet(checkpoint)
    if not len(responses):
        return np.empty(0)
    with quiet_lightning():
        from comet.models import RegressionMetric

        model = load_comet(path)
        # Subclasses do more than a regression on sentence embeddings.
        score = _score_triples if type(model) is RegressionMetric else _predict
        return score(model, questions, responses, references, progress).round(DECIMALS)


def signature_comet(*, checkpoint: str | Path) -> str:
    """Return the settings of COMET: checkpoint, inputs, SHA-256 and versions.

    >>> signature_comet(checkpoint="models/comet-compact")  # doctest: +ELLIPSIS
    'comet-compact|src:instruction|ref:yes|sha256:...|encoder:all-MiniLM-L6-v2|sha256:53aa51172d14|...
    """
    path = find_comet(checkpoint)
    digest, encoder = hashlib.sha256(), ""
    if _lacks_encoder(path):
        digest.update(_hparams_file(path).read_bytes())
        encoder = f"|encoder:{MINILM_NAME}|sha256:{MINILM_SHA256[:12]}"
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, digest.copy)
    hparams = _hparams(path)
    kind = hparams.get("class_identifier")
    if kind not in _READ:
        raise MedAlignError(
            f"signature_comet: {checkpoint}: class_identifier {kind} in hparams.yaml, expected "
            f"one of {', '.join(_READ)}"
        )
    read = hparams.get("input_segments", _READ[kind])
    return (
        f"{name_comet(checkpoint)}|src:{'instruction' if 'src' in read else 'no'}"
        f"|ref:{'yes' if 'ref' in read else 'no'}|sha256:{digest.hexdigest()[:12]}{encoder}"
        f"|v:{version('unbabel-comet')}|transformers:{version('transformers')}"
    )


def name_comet(checkpoint: str | Path) -> str:
    """Return the name of the scores: "COMET" for `PAPER_CHECKPOINT`, otherwise the folder's name.

    Raises: MedAlignError if the folder of another checkpoint is named COMET, in any case.

    >>> name_comet("Unbabel/wmt22-comet-da"), name_comet("models/new/checkpoints/model.ckpt")
    ('COMET', 'new')
    """
    if str(checkpoint) == PAPER_CHECKPOINT:
        return "COMET"
    path = Path(checkpoint)
    name = path.resolve().parents[1].name if path.suffix == ".ckpt" else path.name
    if name.casefold() == "comet":
        raise MedAlignError(
            f"name_comet: {checkpoint} would name its scores {name}, a name reserved for "
            f"{PAPER_CHECKPOINT}; rename its folder"
        )
    return name


def find_comet(checkpoint: str | Path) -> Path:
    """Return the file with a checkpoint's weights (see `score_comet`), downloaded if necessary.

    >>> find_comet("no/such/folder/model.ckpt")
    Traceback (most recent call last):
    ...
    medalign_utils.errors.MedAlignError: find_comet: no/such/folder/model.ckpt does not exist
    """
    path = Path(checkpoint)
    if path.suffix != ".ckpt":
        forms = (COMPACT, LIBRARY) if path.is_dir() else (LIBRARY,)
        files = find_checkpoint(str(checkpoint), *forms).files
        [path] = [file for file in files if file.name != "hparams.yaml"]
    for file in (path, _hparams_file(path)):
        if not file.is_file():
            raise MedAlignError(f"find_comet: {file} does not exist")
    return path


def load_comet(path: Path) -> "CometModel":
    """Return the model with the weights in a file, for inference, on the GPU if there is one.

    Raises: NotAvailableError if a ``.ckpt`` file needs an encoder whose configuration or tokenizer
    cannot be reached; MedAlignError if the file is damaged, or has missing or extra weights.
    """
    with quiet_lightning():
        import torch
        from comet import load_from_checkpoint
        from safetensors import SafetensorError

        faults = (OSError, RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError)
        try:
            load = _join_encoder if _lacks_encoder(path) else load_from_checkpoint
            with loading(path):
                model = load(path)
        except (*faults, SafetensorError) as error:
            if isinstance(error, OSError) and not _lacks_encoder(path):
                _check_encoder(path)
            raise MedAlignError(
                f"load_comet: {path} does not load: {type(error).__name__}: {in_one_line(error)}"
            ) from error
    return model.to("cuda" if torch.cuda.is_available() else "cpu").eval()


def new_regression_metric(hparams: Mapping[str, Any]) -> "RegressionMetric":
    """Return COMET's `RegressionMetric` with the bundled encoder and an untrained estimator."""
    from comet.models import RegressionMetric

    settings = {name: value for name, value in hparams.items() if name != "class_identifier"}
    settings |= {"pretrained_model": str(minilm_path()), "local_files_only": True}
    return RegressionMetric(**settings).eval()


def _join_encoder(path: Path) -> "RegressionMetric":
    """Return the model with the file's weights and the bundled encoder's."""
    from safetensors.torch import load_file

    hparams = _hparams(path)
    if hparams.get("pretrained_model") != MINILM_HUB_ID:
        raise MedAlignError(
            f"load_comet: {path} contains no encoder, and hparams.yaml names "
            f"{hparams.get('pretrained_model')}; only {MINILM_HUB_ID} is bundled"
        )
    model, weights = new_regression_metric(hparams), load_file(path)
    expected = {name for name in model.state_dict() if not name.startswith("encoder.")}
    missing, unexpected = sorted(expected - weights.keys()), sorted(weights.keys() - expected)
    if missing or unexpected:
        raise MedAlignError(
            f"load_comet: {path}: missing weights: {', '.join(missing) or 'none'}; "
            f"unexpected weights: {', '.join(unexpected) or 'none'}"
        )
    model.load_state_dict(weights, strict=False)  # the encoder has its own
    return model


def _lacks_encoder(path: Path) -> bool:
    return path.suffix == ".safetensors"


def _hparams_file(path: Path) -> Path:
    folder = path.parent if _lacks_encoder(path) else path.absolute().parents[1]
    return folder / "hparams.yaml"


def _hparams(path: Path) -> dict[str, Any]:
    return yaml.safe_load(_hparams_file(path).read_text("utf-8"))


def _check_encoder(path: Path) -> None:
    """Raise NotAvailableError if the encoder cannot be reached; the library's error is unclear."""
    try:
        find_checkpoint(_hparams(path).get("pretrained_model"), ENCODER)
    except NotAvailableError as error:
        raise NotAvailableError(
            f"load_comet: {path} needs the configuration and the tokenizer of its encoder: {error}"
        ) from error


def _score_triples(model, questions, responses, references, progress) -> np.ndarray:
    """Return the scores after encoding each distinct text only once."""
    import torch
    from tqdm.auto import tqdm

    distinct = sorted({*questions, *responses, *references})
    tokens = model.encoder.prepare_sample(distinct)
    rows = zip(tokens["input_ids"], tokens["attention_mask"], strict=True)
    ids = [row[mask.bool()].tolist() for row, mask in rows]
    batches = list(fixed_batches(ids, model.encoder.tokenizer.pad_token_id))
    vectors: dict[str, torch.Tensor] = {}
    triples, scores = list(zip(questions, responses, references, strict=True)), []
    with torch.inference_mode():
        for places, padded, mask in tqdm(batches, "comet", unit="batch", disable=not progress):
            batch = model.get_sentence_embedding(padded.to(model.device), mask.to(model.device))
            vectors |= {distinct[p]: v for p, v in zip(places, batch, strict=False)}
        for start in range(0, len(triples), ROWS):
            batch = triples[start : start + ROWS]
            # Fill up with copies, because the last bits depend on the shape of the input.
            batch += batch[:1] * (ROWS - len(batch))
            columns = zip(*batch, strict=True)
            inputs = [torch.stack([vectors[text] for text in column]) for column in columns]
            scores += model.estimate(*inputs).score.flatten().tolist()
    return np.array(scores[: len(triples)], dtype=np.float64)


def _predict(model, questions, responses, references, progress) -> np.ndarray:
    """Return the scores of the library's own ``predict``."""
    import torch

    rows = zip(questions, responses, references, strict=True)
    output = model.predict(
        [{"src": question, "mt": mt, "ref": reference} for question, mt, reference in rows],
        batch_size=1,  # a score must not depend on other texts in its batch
        gpus=int(torch.cuda.is_available()),
        num_workers=0,
        progress_bar=progress,
    )
    return np.array(output.scores, dtype=np.float64)


@contextlib.contextmanager
def quiet_lightning() -> Iterator[None]:
    """Hide the libraries' messages about devices, versions and unused weights."""
    level = logging.root.manager.disable
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(level)


COMET = Metric(
    name="comet",
    label="COMET",
    range=(-inf, inf),
    compares="response, reference and instruction, by a learned score",
    citation="[Rei et al. 2020](https://aclanthology.org/2020.emnlp-main.213/), "
    "[2022](https://aclanthology.org/2022.wmt-1.52/)",
    score=score_comet,
    signature=signature_comet,
    needs_question=True,
    names=lambda checkpoint: [name_comet(checkpoint)],
)
