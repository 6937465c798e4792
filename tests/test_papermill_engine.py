"""Kernels of batch runs listen on private sockets, not on TCP ports."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import papermill
import pytest

SAY = """\
import json, pathlib, stat
from ipykernel.connect import get_connection_file
told = json.loads(pathlib.Path(get_connection_file()).read_text())
folder = pathlib.Path(told["ip"]).parent
names = sorted(file.name for file in folder.iterdir())
mode = stat.filemode(folder.stat().st_mode)
print(json.dumps([told["transport"], str(folder.absolute()), mode, names]))
"""


def test_a_batch_runs_kernel_listens_on_sockets_in_a_separate_folder(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(SAY)])
    nbformat.write(notebook, tmp_path / "say.ipynb")
    folders = set()
    for name in ("one.ipynb", "two.ipynb"):
        done = papermill.execute_notebook(
            tmp_path / "say.ipynb",
            tmp_path / name,
            engine_name="ipc",
            kernel_name="python3",
            progress_bar=False,
        )
        outputs = done.cells[0].outputs
        printed = "".join(out["text"] for out in outputs if out["name"] == "stdout")
        transport, folder, mode, names = json.loads(printed)
        assert transport == "ipc"
        assert mode == "drwx------" and len(names) == 5  # its five channels
        assert "TCP" not in str(outputs)
        assert not Path(folder).exists()
        folders.add(folder)
    assert len(folders) == 2


WAIT = """\
import pathlib, time
pathlib.Path("started").touch()
try:
    time.sleep(120)
except KeyboardInterrupt:
    time.sleep(8)  # as requests under way do
    pathlib.Path("ended").touch()
    raise
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_lets_the_kernel_finish(tmp_path, number):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(WAIT)])
    nbformat.write(notebook, tmp_path / "wait.ipynb")
    program = (
        "import pathlib; from medalign_utils.reporting.jobs import execute; "
        "execute(pathlib.Path('wait.ipynb'), pathlib.Path('done.ipynb'), {})"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not (tmp_path / "started").exists():
        assert process.poll() is None
        time.sleep(0.1)
    time.sleep(0.5)
    process.send_signal(number)
    assert process.wait(120) != 0
    assert (tmp_path / "ended").exists()
