import pytest


@pytest.fixture
def write(tmp_path):
    """Return a function that writes an EHR's text or bytes to a file and returns its path."""

    def write(text, name="7.xml"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write
