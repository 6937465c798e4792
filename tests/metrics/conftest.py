import pytest

from tests.builders.tiny_models import write_tiny_bleurt, write_tiny_lens, write_tiny_unieval


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """Return the settings of a small model for each learned metric."""
    hub = tmp_path_factory.mktemp("hub")
    return {
        "comet": {"checkpoint": "models/comet-compact"},
        "bertscore": {"model": "minilm", "layer": 6},
        "bleurt": {"model": str(write_tiny_bleurt(hub / "bleurt"))},
        "lens": {"model": str(write_tiny_lens(hub / "lens"))},
        "unieval": {"model": str(write_tiny_unieval(hub / "unieval"))},
    }
