import pytest

from napari_sam.training.curves import append_row, plot_curves
from napari_sam.training.run_files import RunFiles


def test_files_of_a_run_may_be_written_over(tmp_path):
    files = RunFiles.beside(tmp_path / "cells.safetensors")
    append_row(files.losses, {"step": 1, "masks": 0.5})
    plot_curves([files.losses], files.plot)
    assert RunFiles.beside(tmp_path / "cells.safetensors") == files


@pytest.mark.parametrize("name", ["cells.losses.csv", "cells.scores.csv", "cells.svg"])
def test_files_that_no_training_made_are_not_written_over(tmp_path, name):
    for content in ("index,area\n1,20\n", "", '<svg xmlns="http://www.w3.org/2000/svg"></svg>'):
        (tmp_path / name).write_text(content)
        with pytest.raises(FileExistsError, match="of a training and would be written over"):
            RunFiles.beside(tmp_path / "cells.safetensors")


@pytest.mark.parametrize("name", ["cells.losses.csv", "cells.svg", "cells.state.pt"])
def test_folders_are_not_written_to(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match="is a folder"):
        RunFiles.beside(tmp_path / "cells.safetensors")
