"""COMET through unbabel-comet, from any checkpoint."""

import contextlib
import hashlib
import logging
import pickle
import warnings
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import yaml

from medalign_utils.errors import MedAlignError, NotAvailableError
from medalign_utils.hub import in_one_line
from medalign_utils.metrics.base import check_texts
from medalign_utils.metrics.checkpoints import ENCODER, find_checkpoint
from medalign_utils.minilm import MINILM_NAME, ROWS, fixed_batches, minilm_path

if TYPE_CHECKING:
    import torch
    from comet.models.base import CometModel

PAPER_CHECKPOINT = "Unbabel/wmt22-comet-da"
MINILM_HUB_ID = f"sentence-transformers/{MINILM_NAME}"
CHECKPOINT = ("hparams.yaml", "checkpoints/model.ckpt")
# What the library's classes read besides the answer; a unified_metric's hparams say it themselves.
_READ = {
    "regression_metric": ("src", "ref"),
    "ranking_metric": ("src", "ref"),
    "xcomet_metric": ("src", "ref"),
    "unified_metric": ("src", "ref"),
    "referenceless_regression_metric": ("src",),
}


def score_comet(
    sources: Sequence[str],
    predictions: Sequence[str],
    references: Sequence[str],
    *,
    checkpoint: str | Path,
    progress: bool = False,
) -> np.ndarray:
    """COMET of each answer, given what was asked and the reference.

    The source is the instruction. The paper speaks of "source-augmented" COMET, which settles
    neither whether the EHR is part of the source nor which checkpoint was used:
    Unbabel/wmt22-comet-da is the usual choice and is not confirmed. Scores are therefore not
    comparable with the paper's by their absolute values.

    For a ``RegressionMetric`` each distinct text is encoded once and the estimator then runs on the
    triples; the library's ``predict`` gives the same to 1e-5. A checkpoint of another class is
    scored by the library's ``predict`` itself. Texts are cut at the encoder's limit, as there.

    Args:
        sources: N instructions.
        predictions: N answers; an empty one is scored like any other.
        references: N references, in the same order.
        checkpoint: a checkpoint's folder (holding ``hparams.yaml`` and ``checkpoints/model.ckpt``),
            its ``.ckpt`` file, or a hub id, which needs network access unless it is cached.
        progress: show a progress bar.

    Returns:
        float64, shape (N,). The range is the checkpoint's: [0, 1] for comet-compact, about that for
        the WMT22 models, unbounded for older ones.

    Raises:
        MedAlignError: the lengths differ, a value is not a string, or the checkpoint or its encoder
            cannot be had.

    Source: Rei et al. 2020, 2022.

    >>> score_comet(["Last creatinine?"], ["1.4"], [], checkpoint="models/comet-compact")
    Traceback (most recent call last):
    ...
    medalign_utils.errors.MedAlignError: score_comet: 1 sources, 1 predictions, 0 references
    """
    check_texts("score_comet", sources=sources, predictions=predictions, references=references)
    path = checkpoint_path(checkpoint)
    if not len(predictions):
        return np.empty(0)
    with quiet_lightning():
        model = load_comet(path)
        if _is_regression_metric(model):
            return _score_triples(model, sources, predictions, references, progress)
        return _predict(model, sources, predictions, references)


def signature_comet(*, checkpoint: str | Path) -> str:
    """State the settings behind a COMET score.

    The name, whether its class reads the source and the reference, the SHA-256 of the checkpoint,
    and versions.

    Raises:
        NotAvailableError: as `checkpoint_path`.
        MedAlignError: the checkpoint cannot be had, or is of no class that the library has.

    >>> signature_comet(checkpoint="no/such/folder/model.ckpt")
    Traceback (most recent call last):
    ...
    medalign_utils.errors.MedAlignError: checkpoint_path: no/such/folder/model.ckpt does not exist
    """
    path = checkpoint_path(checkpoint)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    hparams = _hparams(path)
    kind = hparams.get("class_identifier")
    if kind not in _READ:
        raise MedAlignError(
            f"signature_comet: {checkpoint} has class_identifier {kind} in hparams.yaml, expected "
            f"one of {', '.join(_READ)}"
        )
    read = hparams.get("input_segments", _READ[kind]) if kind == "unified_metric" else _READ[kind]
    return (
        f"{name_comet(checkpoint)}|src:{'instruction' if 'src' in read else 'no'}"
        f"|ref:{'yes' if 'ref' in read else 'no'}|sha256:{digest[:12]}"
        f"|v:{version('unbabel-comet')}|transformers:{version('transformers')}"
    )


def _hparams(path: Path) -> dict:
    return yaml.safe_load((path.absolute().parents[1] / "hparams.yaml").read_text("utf-8"))


def name_comet(checkpoint: str | Path) -> str:
    """Name a checkpoint's scores: "COMET" for the paper's presumable checkpoint and for no other.

    Raises: MedAlignError where another checkpoint would bear that name, in whatever case.

    >>> name_comet("Unbabel/wmt22-comet-da"), name_comet("Unbabel/wmt20-comet-da")
    ('COMET', 'wmt20-comet-da')
    >>> name_comet("models/comet-compact")
    'comet-compact'
    >>> name_comet("models/comet-compact/checkpoints/model.ckpt")
    'comet-compact'
    """
    if str(checkpoint) == PAPER_CHECKPOINT:
        return "COMET"
    path = Path(checkpoint)
    name = path.resolve().parents[1].name if path.suffix == ".ckpt" else path.name
    if name.casefold() == "comet":
        raise MedAlignError(
            f"name_comet: the scores of {checkpoint} would be named {name}, as those of "
            f"{PAPER_CHECKPOINT} alone are; rename its folder"
        )
    return name


def checkpoint_path(checkpoint: str | Path) -> Path:
    """Find a checkpoint's file; a hub id is fetched, or found in the cache.

    Args:
        checkpoint: as `score_comet`'s.

    Returns:
        The ``.ckpt`` file, with ``hparams.yaml`` two folders up.

    Raises:
        NotAvailableError: the hub's checkpoint is not here and cannot be had now.
        MedAlignError: nothing is there, or the hub has no such model.

    >>> checkpoint_path("no/such/folder/model.ckpt")
    Traceback (most recent call last):
    ...
    medalign_utils.errors.MedAlignError: checkpoint_path: no/such/folder/model.ckpt does not exist
    """
    path = Path(checkpoint)
    if path.is_dir():
        path = path / "checkpoints" / "model.ckpt"
    if path.suffix == ".ckpt":
        for expected in (path, path.absolute().parents[1] / "hparams.yaml"):
            if not expected.is_file():
                raise MedAlignError(f"checkpoint_path: {expected} does not exist")
        return path
    found = find_checkpoint(str(checkpoint), CHECKPOINT)
    return found.folder / "checkpoints" / "model.ckpt"


def load_comet(path: Path) -> "CometModel":
    """Load a checkpoint for inference, onto the GPU if there is one.

    A checkpoint holds its encoder's weights but not its configuration and tokenizer, which the
    library takes from the hub or its cache. When that encoder is all-MiniLM-L6-v2 they come from
    the installed package instead, so that comet-compact loads on any machine without network.

    Args:
        path: the ``.ckpt`` file.

    Returns:
        The model, in evaluation mode.

    Raises:
        NotAvailableError: the encoder's configuration or tokenizer cannot be had now.
        MedAlignError: the file is no checkpoint, is torn, or does not fit its settings.
    """
    with quiet_lightning():
        import torch
        from comet import load_from_checkpoint
        from comet.models import RegressionMetric

        encoder = _hparams(path).get("pretrained_model")
        try:
            if encoder == MINILM_HUB_ID:
                model = RegressionMetric.load_from_checkpoint(
                    path,
                    map_location="cpu",
                    strict=True,
                    load_pretrained_weights=False,
                    local_files_only=True,
                    pretrained_model=str(minilm_path()),
                )
            else:
                model = load_from_checkpoint(str(path))
        except OSError as error:
            if encoder != MINILM_HUB_ID:
                _find_encoder(path, encoder)
            raise _broken(path, error) from error
        except (RuntimeError, EOFError, KeyError, pickle.UnpicklingError) as error:
            raise _broken(path, error) from error
    return model.to("cuda" if torch.cuda.is_available() else "cpu").eval()


def _find_encoder(path: Path, encoder: str) -> None:
    """Raise if the encoder is not there, which the library says as it says all that goes wrong."""
    try:
        find_checkpoint(encoder, ENCODER)
    except NotAvailableError as error:
        raise NotAvailableError(
            f"load_comet: {path} needs the configuration and the tokenizer of its encoder: {error}"
        ) from error


def _broken(path: Path, error: Exception) -> MedAlignError:
    return MedAlignError(
        f"load_comet: {path} does not load: {type(error).__name__}: {in_one_line(error)}"
    )


def sentence_embeddings(
    model: "CometModel", texts: Sequence[str], *, progress: bool = False
) -> dict[str, "torch.Tensor"]:
    """Embed each distinct text once with a COMET model's own encoder and pooling.

    Args:
        model: a COMET model.
        texts: the texts, repeated as they may be.
        progress: show a progress bar.

    Returns:
        text -> its vector, shape (units of the encoder,), on the model's device.
    """
    import torch
    from tqdm.auto import tqdm

    distinct = sorted(set(texts))
    tokens = model.encoder.prepare_sample(distinct)
    rows = zip(tokens["input_ids"], tokens["attention_mask"], strict=True)
    ids = [row[mask.bool()].tolist() for row, mask in rows]
    batches = list(fixed_batches(ids, model.encoder.tokenizer.pad_token_id))
    bar = tqdm(batches, "comet", unit="batch", disable=not progress)
    embeddings = {}
    with torch.inference_mode():
        for places, padded, mask in bar:
            vectors = model.get_sentence_embedding(padded.to(model.device), mask.to(model.device))
            embeddings |= {distinct[p]: v for p, v in zip(places, vectors, strict=False)}
    return embeddings


def _is_regression_metric(model: "CometModel") -> bool:
    """Whether the model is source + reference regression on sentence embeddings, itself."""
    from comet.models import RegressionMetric

    return type(model) is RegressionMetric


def _score_triples(model, sources, predictions, references, progress) -> np.ndarray:
    """Run a RegressionMetric's estimator on the embeddings of the triples."""
    import torch

    embeddings = sentence_embeddings(
        model, [*sources, *predictions, *references], progress=progress
    )
    triples = list(zip(sources, predictions, references, strict=True))
    scores = []
    with torch.inference_mode():
        for start in range(0, len(triples), ROWS):
            batch = triples[start : start + ROWS]
            # Filled up with copies: the shape of its input moves an estimator's last bits, too.
            batch += batch[:1] * (ROWS - len(batch))
            columns = zip(*batch, strict=True)
            vectors = [torch.stack([embeddings[text] for text in column]) for column in columns]
            scores += model.estimate(*vectors).score.flatten().tolist()
    return np.array(scores[: len(triples)], dtype=np.float64)


def _predict(model, sources, predictions, references) -> np.ndarray:
    """Leave the scoring to the library."""
    import torch

    rows = zip(sources, predictions, references, strict=True)
    samples = [{"src": source, "mt": mt, "ref": reference} for source, mt, reference in rows]
    output = model.predict(
        samples,
        batch_size=1,  # a score must not hang on the others of its batch
        gpus=int(torch.cuda.is_available()),
        num_workers=0,
        progress_bar=False,
    )
    return np.array(output.scores, dtype=np.float64)


@contextlib.contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keep the libraries' notes on devices, versions and unused weights off the screen."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import comet  # noqa: F401  (sets its loggers' levels when first imported)

        names = ("pytorch_lightning", "lightning", "comet", "transformers")
        loggers = [logging.getLogger(name) for name in names]
        levels = [logger.level for logger in loggers]
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
