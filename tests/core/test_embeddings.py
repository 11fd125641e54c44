from pathlib import Path

import numpy as np
import pytest
from fakes import manifest, write_embeddings

from gencv.core import tables
from gencv.core.embeddings import VECTORS, Embeddings
from gencv.core.errors import BadInput


def test_vectors_of_an_earlier_version_are_to_be_made_again(tmp_path: Path) -> None:
    write_embeddings(manifest(4), np.eye(4, dtype=np.float32), tmp_path)
    assert Embeddings.load(str(tmp_path)).good.all()
    part = tables.part_path(str(tmp_path / VECTORS), 0)
    tables.write_table(tables.read_table(part).drop_columns(["side_px", "blur"]), part)
    with pytest.raises(BadInput, match="was embedded by an earlier version; run `embed` again"):
        Embeddings.load(str(tmp_path))
