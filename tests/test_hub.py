import shutil
import socket
import threading
import time

import huggingface_hub.constants
import pytest
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
from huggingface_hub.utils import reset_sessions
from requests import Response

from medalign_utils import hub
from medalign_utils.errors import MedAlignError, NotAvailableError, ParamsError
from medalign_utils.hub import TRANSFORMERS, describe, find_checkpoint, in_one_line
from medalign_utils.paths import weights
from medalign_utils.prompts.tokenizers import load_tokenizer


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "README.md", "pytorch_model.bin"):
        (folder / name).write_text(name)
    return folder


@pytest.fixture
def empty_cache(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))


def test_the_first_form_of_weights_that_exists_counts(folder):
    found = find_checkpoint(str(folder), *TRANSFORMERS)
    assert [file.name for file in found.files] == ["config.json", "pytorch_model.bin"]
    (folder / "model.safetensors").write_text("safe")
    found = find_checkpoint(str(folder), *TRANSFORMERS)
    assert [file.name for file in found.files] == ["config.json", "model.safetensors"]
    for file in found.folder.iterdir():
        file.unlink()
    with pytest.raises(
        MedAlignError, match=r"model contains no \*\.safetensors or \*\.b"
    ) as caught:
        find_checkpoint(str(folder), *TRANSFORMERS)
    assert type(caught.value) is MedAlignError  # otherwise the metric would be skipped


def test_a_description_depends_on_the_relevant_files_and_not_on_their_folder(folder, tmp_path):
    before = describe(find_checkpoint(str(folder), *TRANSFORMERS))
    copy = shutil.copytree(folder, tmp_path / "elsewhere" / "model")
    (copy / "README.md").write_text("other")
    assert describe(find_checkpoint(str(copy), *TRANSFORMERS)) == before
    (copy / "config.json").write_text("other")
    after = describe(find_checkpoint(str(copy), *TRANSFORMERS))
    assert after != before and after.startswith("model:model|sha256:")


def test_without_a_network_the_reason_names_the_model(monkeypatch, empty_cache):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    reason = "owner/name is not on this machine and the hub cannot be reached$"
    with pytest.raises(NotAvailableError, match=f"^{reason}"):
        find_checkpoint("owner/name", *TRANSFORMERS)
    with pytest.raises(ParamsError, match=f"^load_tokenizer: {reason}"):
        load_tokenizer("owner/name")


def test_a_long_error_is_cut_between_words():
    assert in_one_line(ValueError("a" + "\nword" * 60)) == "a" + " word" * 39 + " ..."
    assert in_one_line(ValueError()) == "ValueError"


def test_a_hub_that_never_answers_is_not_waited_for(monkeypatch, empty_cache):
    silent = socket.create_server(("127.0.0.1", 0))
    kept = []
    threading.Thread(target=lambda: kept.append(silent.accept()), daemon=True).start()
    endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "TIMEOUT_SECONDS", 0.5)
    reset_sessions()  # one made offline stays so
    start = time.monotonic()
    with pytest.raises(NotAvailableError, match="the hub cannot be reached"):
        find_checkpoint("owner/name", *TRANSFORMERS)
    assert kept  # it was asked
    assert time.monotonic() - start < 10
    silent.close()
    reset_sessions()


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (RepositoryNotFoundError, MedAlignError, "'owner/nam' is neither a folder nor a model on"),
        (GatedRepoError, NotAvailableError, "owner/nam is gated: accept its terms on the hub"),
    ],
)
def test_a_misspelt_name_is_an_error_not_a_skip(monkeypatch, error, kind, message):
    def model_info(self, name, timeout):
        raise error("401", response=Response())

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", model_info)
    with pytest.raises(MedAlignError, match=message) as caught:
        find_checkpoint("owner/nam", *TRANSFORMERS)
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    "name", ["/no/such/folder", "models/a/b", "tests/none", "./none", "../none/model", "~/none"]
)
def test_a_path_that_does_not_exist_is_an_error(name):
    with pytest.raises(MedAlignError, match=f"^no folder {name}$"):
        weights(name)


def test_a_hub_id_and_an_empty_name_stay_unchanged(folder):
    for name in ("", "minilm", "roberta-large", "Unbabel/wmt22-comet-da"):
        assert weights(name) == name
    assert weights(str(folder)) == str(folder)
