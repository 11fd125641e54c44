import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gencv.provenance.convolutional import coded_length, decode, encode


@settings(deadline=None)
@given(hnp.arrays(np.uint8, st.integers(1, 70), elements=st.integers(0, 1)), st.floats(0.01, 100))
def test_what_was_encoded_is_decoded(bits: np.ndarray, scale: float) -> None:
    coded = encode(bits)
    assert len(coded) == coded_length(len(bits))
    soft = (coded.astype(float) * 2 - 1) * scale
    assert np.array_equal(decode(np.stack([soft, soft]))[1], bits)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_the_code_is_linear(first: int, second: int) -> None:
    one, two, both = (
        np.array([(word >> shift) & 1 for shift in range(64)], np.uint8) for word in (first, second, first ^ second)
    )
    assert np.array_equal(encode(one) ^ encode(two), encode(both))


def test_a_fifth_of_the_bits_may_be_wrong() -> None:
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, (50, 64)).astype(np.uint8)
    soft = np.stack([encode(row) for row in bits]) * 2.0 - 1 + rng.normal(0, 1.05, (50, coded_length(64)))
    wrong = np.mean((soft > 0) != (np.stack([encode(row) for row in bits]) > 0))
    right = np.mean((decode(soft) == bits).all(axis=1))
    assert 0.15 < wrong < 0.2 and right > 0.95


def test_the_generators_are_the_standard_ones() -> None:
    assert encode(np.array([1], np.uint8)).reshape(7, 3).T.tolist() == [
        [int(bit) for bit in f"{taps:07b}"] for taps in (0o133, 0o165, 0o171)
    ]
