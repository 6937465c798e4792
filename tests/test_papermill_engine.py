"""Kernels of batch runs listen on private sockets, not on TCP ports."""

import json
from pathlib import Path

import nbformat
import papermill

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
