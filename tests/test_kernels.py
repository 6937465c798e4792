"""Kernels of batch runs listen on sockets that have an owner, not on TCP ports."""

import json

import nbformat
import papermill

SAY = """\
import json, pathlib, socket, stat
from ipykernel.connect import get_connection_file
told = json.loads(pathlib.Path(get_connection_file()).read_text())
sockets = sorted(pathlib.Path(told["ip"]).parent.glob(pathlib.Path(told["ip"]).name + "-*"))
modes = [stat.filemode(file.stat().st_mode) for file in sockets]
print(json.dumps({"transport": told["transport"], "modes": modes}))
"""


def test_a_batch_runs_kernel_listens_on_sockets_that_only_their_owner_may_write_to(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(SAY)])
    nbformat.write(notebook, tmp_path / "say.ipynb")
    done = papermill.execute_notebook(
        tmp_path / "say.ipynb",
        tmp_path / "said.ipynb",
        engine_name="ipc",
        kernel_name="python3",
        progress_bar=False,
    )
    told = json.loads(
        "".join(out["text"] for out in done.cells[0].outputs if out["name"] == "stdout")
    )
    assert told["transport"] == "ipc"
    assert told["modes"] and all(mode[0] == "s" for mode in told["modes"])
    assert all(mode[5] == mode[8] == "-" for mode in told["modes"])
    assert "TCP" not in str(done.cells[0].outputs)
