"""Every notebook runs from the first cell to the last, and is the same in both of its forms."""

from pathlib import Path

import pytest

jupytext = pytest.importorskip("jupytext")
nbclient = pytest.importorskip("nbclient")

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "notebooks").glob("*.py"))


def cells(notebook):
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


def test_there_are_notebooks():
    assert SOURCES


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_source_and_notebook_say_the_same(source):
    notebook = jupytext.read(source.with_suffix(".ipynb"))
    assert cells(notebook) == cells(jupytext.read(source)), (
        "run: jupytext --to ipynb notebooks/*.py"
    )
    assert not any(cell.get("outputs") for cell in notebook.cells)


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_notebooks_run(source, tmp_path, monkeypatch):
    monkeypatch.setenv("WAVEGEN_FAST", "1")
    monkeypatch.setenv("WAVEGEN_CACHE", str(tmp_path / "cache"))
    notebook = jupytext.read(source)
    client = nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": ROOT}})
    client.execute()  # raises what a cell raises
    pictures = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert pictures
