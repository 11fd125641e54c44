from collections import Counter
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from gencv.core.errors import BadInput, UnknownName
from gencv.datasets.sources import read_source
from gencv.datasets.starter import photograph_at, photographs

SMALL = "starter:?crops=3&size=64"


def test_pairs_have_one_content_one_size_and_one_quality() -> None:
    records = list(read_source(SMALL))
    assert len(records) == 2 * 3 * len(photographs())
    for genuine, attacked in zip(records[::2], records[1::2], strict=True):
        assert (genuine.label, genuine.generator, genuine.family) == (0, "camera", "real")
        assert (attacked.label, attacked.generator) == (1, attacked.family)
        assert attacked.uri == f"{genuine.uri}/{attacked.generator}" and attacked.group == genuine.group
        one, other = (Image.open(BytesIO(record.data or b"")) for record in (genuine, attacked))
        assert one.size == other.size == (64, 64) and one.quantization == other.quantization
    assert len({record.data for record in records}) == len(records)


def test_attacks_are_balanced_and_motorcycles_one_group() -> None:
    records = list(read_source(SMALL))
    counts = Counter(record.generator for record in records if record.label)
    assert set(counts) == {"print", "replay", "recapture"} and max(counts.values()) - min(counts.values()) <= 1
    groups = {record.group for record in records}
    assert "motorcycle" in groups and len(groups) == len(photographs()) - 1
    assert records[0].uri == "starter:astronaut#00"


def test_a_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    def data(seed: int) -> list[bytes | None]:
        return [record.data for record in read_source(f"starter:?crops=1&size=48&limit=6&seed={seed}")]

    assert data(0) == data(0)
    assert not set(data(0)) & set(data(1))


@pytest.mark.parametrize(
    ("text", "named"), [("starter:x", "location"), ("starter:?attacks=laser", "laser"), ("starter:?size=4", "size=4")]
)
def test_wrong_options_are_named(text: str, named: str) -> None:
    with pytest.raises(BadInput, match=named):
        read_source(text)


def test_a_photograph_has_a_name_and_other_places_stay() -> None:
    assert Path(photograph_at("starter:coffee")).name == "coffee.png"
    assert photograph_at("/data/coffee.png") == "/data/coffee.png"
    with pytest.raises(UnknownName, match="Unknown photograph 'tea'; known: astronaut"):
        photograph_at("starter:tea")
