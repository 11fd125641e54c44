from pathlib import Path

import numpy as np
import pytest
from fakes import MemoryIndex

from gencv.core.embeddings import Space
from gencv.core.errors import BadInput
from gencv.index.cutoff import CUTOFF, PHRASES, Cutoff, calibrate, encode_phrases
from gencv.index.query import Query, run

DIM = 64
SPACE = Space(encoder="digits", weights="w", dim=DIM, transform={})


class TopicEncoder:
    """A text "t17 s5" lies near topic 17, a little otherwise for every s; any other text lies anywhere."""

    space = SPACE
    transform = None

    def images(self, pixels: np.ndarray) -> np.ndarray:
        raise AssertionError("no pixels here")

    def texts(self, texts: list[str]) -> np.ndarray:
        vectors = []
        for text in texts:
            rng = np.random.default_rng(list(text.encode()))
            is_topic = text.startswith("t") and text[1:2].isdigit()
            topic = np.random.default_rng([7, int(text[1:].split()[0])]).normal(size=DIM) if is_topic else 0
            vectors.append(topic + 0.7 * rng.normal(size=DIM))
        rows = np.array(vectors, np.float32)
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


ENCODER = TopicEncoder()


def topics(count: int) -> np.ndarray:
    """Make the vectors of `count` pictures of one topic each, in pairs: topics 0, 0, 1, 1, ..."""
    return ENCODER.texts([f"t{row // 2} p{row}" for row in range(count)])


def measured(pictures: np.ndarray) -> Cutoff:
    return calibrate(encode_phrases(ENCODER), pictures, len(pictures), 3)


def accepted(texts: list[str], pictures: np.ndarray, cutoff: Cutoff) -> float:
    table = MemoryIndex(pictures, SPACE)
    return float(np.mean([run(Query(text=text), table, ENCODER, cutoff).good for text in texts]))


@pytest.mark.parametrize("count", [60, 600])
def test_unrelated_texts_are_told_from_related_ones(count: int) -> None:
    pictures = topics(count)
    cutoff = measured(pictures)
    related = [f"t{row // 2} is what one looks for {row}" for row in range(count)]
    absent = [f"t{row} is what one looks for {row}" for row in range(10_000, 10_400)]
    assert accepted(related, pictures, cutoff) > 0.9
    assert accepted(absent, pictures, cutoff) < 0.12


def test_a_query_with_a_picture_in_it_is_not_judged() -> None:
    pictures = topics(60)
    table, cutoff = MemoryIndex(pictures, SPACE), measured(pictures)
    for asked in (Query(image=pictures[0]), Query(text="t3 as one asks", like_id="p00000")):
        assert run(asked, table, ENCODER, cutoff).good is None
    assert run(Query(text="t3 as one asks"), table, ENCODER).good is None
    assert run(Query(text="t3 as one asks", where="id = 'none'"), table, ENCODER, cutoff).good is None


def test_every_page_of_a_query_says_the_same() -> None:
    pictures = topics(60)
    table, cutoff = MemoryIndex(pictures, SPACE), measured(pictures)
    first = run(Query(text="t3 as one asks", k=2), table, ENCODER, cutoff)
    second = run(Query(text="t3 as one asks", k=2, cursor=first.cursor), table, ENCODER, cutoff)
    assert first.good and second.strength == first.strength and second.level == first.level == cutoff.level


def test_a_larger_table_than_the_sample_raises_the_level(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = topics(600)
    whole, sample = measured(pictures), pictures[np.random.default_rng(0).permutation(600)[:100]]
    sampled = calibrate(encode_phrases(ENCODER), sample, 600, 3)
    assert sampled.level == pytest.approx(whole.level, abs=0.05)
    monkeypatch.setattr("gencv.index.cutoff.highest", lambda count: 0.0)
    assert calibrate(encode_phrases(ENCODER), sample, 600, 3).level < sampled.level - 0.02


def test_a_measurement_is_kept_beside_its_table(tmp_path: Path) -> None:
    assert Cutoff.load(str(tmp_path), 3) is None
    cutoff = measured(topics(60))
    cutoff.save(str(tmp_path))
    assert Cutoff.load(str(tmp_path), 3) == cutoff
    assert Cutoff.load(str(tmp_path), 4) is None, "it was measured on other pictures"
    assert measured(topics(60)) == cutoff


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"level": 1', b"\xff\xfe"])
def test_a_damaged_measurement_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / CUTOFF).write_bytes(content)
    assert Cutoff.load(str(tmp_path), 3) is None


def test_chance_is_the_share_of_unrelated_texts_that_do_as_well() -> None:
    cutoff = Cutoff(level=0.3, cosines=(0.1, 0.2, 0.2, 0.4), version=9)
    assert [cutoff.chance(best) for best in (0.05, 0.2, 0.3, 0.5)] == [1.0, 0.75, 0.25, 0.0]


def test_two_pictures_are_needed() -> None:
    with pytest.raises(BadInput, match="at least two"):
        measured(topics(1))
    assert np.isfinite(measured(topics(2)).level)


def test_the_phrases_are_two_hundred_short_texts() -> None:
    assert len(PHRASES) == len(set(PHRASES)) == 200
    assert all(1 <= len(phrase.split()) <= 6 and phrase.strip() == phrase for phrase in PHRASES)
