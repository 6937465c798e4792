import pytest

from medalign_utils.data.ehr import read_events
from medalign_utils.data.release import load_release
from tests.builders.explorer_release import PATIENT, write_release


@pytest.fixture
def release(tmp_path):
    return load_release(write_release(tmp_path / "release"))


@pytest.fixture
def events(release):
    return read_events(release.ehr_path(PATIENT))
