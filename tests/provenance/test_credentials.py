import io
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from fakes import picture
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gencv.core.errors import BadInput
from gencv.core.record import picture_id
from gencv.provenance import credentials, identity
from gencv.provenance.credentials import STATES, can_hold, read, sign
from gencv.provenance.parameters import SourceType

KINDS = {"png": "PNG", "jpeg": "JPEG", "webp": "WEBP"}


def saved(kind: str, seed: int = 0, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture(seed)).save(stream, KINDS[kind], **options)
    return stream.getvalue()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_credentials_are_trusted_and_say_how_a_picture_was_made(kind: str) -> None:
    data = saved(kind)
    signed = sign(data)
    found = read(signed)
    assert found.state == "trusted" and found.is_valid and found.reason == ""
    assert (found.signer, found.generator) == ("gencv local signer", "gencv")
    assert (found.actions, found.source_type) == (("c2pa.created",), "trainedAlgorithmicMedia")
    assert np.array_equal(*(np.asarray(Image.open(io.BytesIO(file))) for file in (data, signed)))
    assert len(signed) - len(data) < 20_000


def test_a_composite_names_its_photograph() -> None:
    photograph = saved("jpeg", 1)
    found = read(sign(saved("png"), source_type=SourceType.PART_GENERATED, ingredient=photograph))
    assert found.source_type == "compositeWithTrainedAlgorithmicMedia" and found.state == "trusted"
    assert found.ingredients == (
        {
            "title": picture_id(photograph),
            "relationship": "componentOf",
            "format": "image/jpeg",
            "credentials": "absent",
        },
    )


def test_the_credentials_of_an_ingredient_are_kept_and_judged(tmp_path: Path) -> None:
    made = sign(saved("webp", 1))
    assert read(sign(saved("png"), ingredient=made)).ingredients[0]["credentials"] == "trusted"
    foreign = sign(saved("webp", 1), folder=tmp_path / "theirs")
    assert read(sign(saved("png"), ingredient=foreign)).ingredients[0]["credentials"] == "untrusted"
    changed = made[:-30] + bytes([made[-30] ^ 1]) + made[-29:]
    assert read(changed).state == "invalid"
    found = read(sign(saved("png"), ingredient=changed))
    assert found.ingredients[0]["credentials"] == "invalid" and found.ingredients[0]["relationship"] == "inputTo"


DAMAGE = {
    "cut": (b"jumb", 60, b"\xff" * 8),
    "an assertion": (b"jumb", 300, b"\xff" * 8),
    "the signer": (b"jumb", 1500, b"\xff" * 8),
    "the claim": (b"c2pa.claim", 200, b"\0" * 60),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_an_ingredient_with_damaged_credentials_is_named_with_that_remark(damage: str) -> None:
    name, after, bytes_ = DAMAGE[damage]
    photograph = sign(saved("jpeg", 1))
    at = photograph.index(name) + after
    broken = photograph[:at] + bytes_ + photograph[at + len(bytes_) :]
    found = read(sign(saved("png"), source_type=SourceType.COMPOSITE, ingredient=broken))
    assert found.state == "trusted"
    assert found.ingredients == (
        {"title": picture_id(broken), "relationship": "componentOf", "format": "image/jpeg", "credentials": "invalid"},
    )


def test_a_phones_jpeg_with_two_pictures_is_an_ingredient() -> None:
    stream = io.BytesIO()
    Image.fromarray(picture(1)).save(stream, "MPO", save_all=True, append_images=[Image.fromarray(picture(2))])
    assert can_hold(stream.getvalue())
    assert read(sign(saved("png"), ingredient=stream.getvalue())).ingredients[0]["format"] == "image/jpeg"


def test_trust_is_not_taken_over_from_whoever_is_not_trusted(tmp_path: Path) -> None:
    """A signer writes down what was found of an ingredient, and may write down anything."""
    theirs = tmp_path / "theirs"
    signed = sign(saved("png"), ingredient=sign(saved("jpeg", 1), folder=theirs), folder=theirs)
    assert read(signed, folder=theirs).ingredients[0]["credentials"] == "trusted"
    found = read(signed)
    assert found.state == "untrusted" and found.ingredients[0]["credentials"] == "untrusted"


def test_the_name_of_a_signer_is_no_reason_for_trust(tmp_path: Path) -> None:
    ours, theirs = read(sign(saved("png"))), read(sign(saved("png"), folder=tmp_path / "theirs"))
    assert (theirs.signer, theirs.generator) == (ours.signer, ours.generator)
    assert (ours.state, theirs.state) == ("trusted", "untrusted")


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_credentials_of_one_picture_in_the_file_of_another_are_invalid(kind: str) -> None:
    """Taken from a signed file, and put where they were in another picture's file."""
    signed, other = sign(saved(kind, 1)), saved(kind, 2)
    if kind == "jpeg":
        start = signed.index(b"\xff\xeb")
        end = signed.rindex(b"\xff\xeb")
        end += 2 + int.from_bytes(signed[end + 2 : end + 4], "big")
        moved = other[:start] + signed[start:end] + other[start:]
    elif kind == "png":
        start = signed.index(b"caBX") - 4
        end = start + 12 + int.from_bytes(signed[start : start + 4], "big")
        moved = other[:start] + signed[start:end] + other[start:]
    else:
        body = other[8:] + signed[signed.index(b"C2PA") :]
        moved = b"RIFF" + len(body).to_bytes(4, "little") + body
    assert read(moved).state == "invalid"


def test_credentials_elsewhere_are_not_fetched() -> None:
    packet = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description rdf:about="" xmlns:dcterms="http://purl.org/dc/terms/" '
        b'dcterms:provenance="https://example.invalid/a.c2pa"/></rdf:RDF></x:xmpmeta>'
    )
    found = read(saved("jpeg", 0, xmp=packet))
    assert found.state == "absent" and "elsewhere" in found.reason


@pytest.mark.parametrize("folder", ["a" * 5_000, "a\0b"])
def test_a_folder_that_cannot_be_looked_into_is_nobodys(folder: str) -> None:
    assert read(sign(saved("png")), folder=Path(folder)).state == "untrusted"


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["actions", "label", "x"]), inner),
    max_leaves=6,
)
stores = st.fixed_dictionaries(
    {
        "active_manifest": st.just("a"),
        "validation_state": st.just("Valid"),
        "manifests": st.fixed_dictionaries(
            {
                "a": st.fixed_dictionaries(
                    {
                        "assertions": json_like
                        | st.lists(st.fixed_dictionaries({"label": st.just("c2pa.actionsX"), "data": json_like})),
                        "ingredients": json_like,
                        "claim_generator_info": json_like,
                    }
                )
            }
        ),
    }
)


@given(stores)
def test_assertions_of_any_shape_are_read_as_text(store: dict[str, object]) -> None:
    found = credentials._credentials(store)
    assert found.state == "untrusted" and all(isinstance(action, str) for action in found.actions)
    json.dumps(asdict(found), allow_nan=False)


def test_another_signer_is_not_trusted(tmp_path: Path) -> None:
    signed = sign(saved("png"), folder=tmp_path / "theirs")
    found = read(signed)
    assert found.state == "untrusted" and found.is_valid and found.reason == "signingCredential.untrusted"
    assert read(signed, folder=tmp_path / "theirs").state == "trusted"
    assert read(signed, folder=tmp_path / "nobody").state == "untrusted" and not (tmp_path / "nobody").exists()


SIGNED: dict[str, bytes] = {}


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(KINDS)), st.integers(0, 10**9), st.integers(0, 7))
def test_a_change_of_one_bit_is_seen_or_does_no_harm(kind: str, place: int, bit: int) -> None:
    """A few bits around the signature are not signed: a file changed there shows the same, or cannot be shown."""
    signed = SIGNED.setdefault(kind, sign(saved(kind)))
    changed = bytearray(signed)
    changed[place % len(signed)] ^= 1 << bit
    if read(bytes(changed)).is_valid:
        try:
            shown = np.asarray(Image.open(io.BytesIO(changed)))
        except (OSError, SyntaxError):
            return
        assert np.array_equal(shown, np.asarray(Image.open(io.BytesIO(signed))))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_change_of_the_pixels_is_invalid_and_says_why(kind: str) -> None:
    signed = sign(saved(kind))
    before = signed.rindex({"png": b"IDAT", "jpeg": b"\xff\xda", "webp": b"VP8 "}[kind]) + 100
    found = read(signed[:before] + bytes([signed[before] ^ 1]) + signed[before + 1 :])
    assert found.state == "invalid" and found.reason == "assertion.dataHash.mismatch" and not found.is_valid


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**9))
def test_a_file_that_breaks_off_is_read_without_an_error(length: int) -> None:
    signed = SIGNED.setdefault("png", sign(saved("png")))
    assert read(signed[: length % len(signed)]).state in ("absent", "invalid")


@pytest.mark.parametrize("data", [b"", b"text", saved("png"), saved("jpeg"), saved("jpeg")[:50]])
def test_no_credentials_are_absent(data: bytes) -> None:
    found = read(data)
    assert found.state == "absent" and found.reason and found.state in STATES


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP521R1()),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=["ES384", "ES512", "Ed25519"],
)
def test_the_users_own_certificate_signs(
    tmp_path: Path, key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
) -> None:
    root_key = ec.generate_private_key(ec.SECP256R1())
    chain = [
        identity.certificate("Studio", key, "Studio root", root_key),
        identity.certificate("Studio root", root_key, "Studio root", root_key),
    ]
    pems = [certificate.public_bytes(serialization.Encoding.PEM) for certificate in chain]
    (tmp_path / "chain.pem").write_bytes(b"".join(pems))
    kinds = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "key.pem").write_bytes(key.private_bytes(*kinds))
    found = read(sign(saved("jpeg"), folder=tmp_path), folder=tmp_path)
    assert (found.state, found.signer) == ("trusted", "Studio")
    assert x509.load_pem_x509_certificates(identity.roots(tmp_path).encode()) == chain[1:]


def test_what_cannot_be_signed_is_a_sentence() -> None:
    for data in (b"", b"text", saved("jpeg")[:30]):
        with pytest.raises(BadInput, match="Credentials cannot be for this picture"):
            sign(data)
    with pytest.raises(BadInput, match="Credentials cannot be for this ingredient"):
        sign(saved("png"), ingredient=b"text")


def test_a_bitmap_has_no_place_for_credentials() -> None:
    stream = io.BytesIO()
    Image.fromarray(picture(0)).save(stream, "BMP")
    assert [can_hold(data) for data in (saved("png"), saved("jpeg"), stream.getvalue(), b"text")] == [
        True,
        True,
        False,
        False,
    ]
