import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from gencv.core.errors import BadInput
from gencv.provenance import identity


def write_key(folder: Path, key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey) -> None:
    kinds = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(key.private_bytes(*kinds))


def test_an_identity_is_made_once_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "config" / "identity"
    first, second = identity.load(folder), identity.load(folder)
    assert first is second and sorted(path.name for path in folder.iterdir()) == ["chain.pem", "key.pem"]
    assert [path.name for path in folder.parent.iterdir()] == ["identity"]
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "chain.pem", folder / "key.pem")]
    assert modes == [0o700, 0o600, 0o600]


def test_the_certificates_are_what_the_standard_asks_for(tmp_path: Path) -> None:
    leaf, root = x509.load_pem_x509_certificates(identity.load(tmp_path / "identity").chain.encode())
    leaf.verify_directly_issued_by(root)
    root.verify_directly_issued_by(root)
    purposes = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.EMAIL_PROTECTION]
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature and not usage.key_cert_sign
    assert root.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_of_many_who_make_one_at_once_one_stays(tmp_path: Path) -> None:
    folder = tmp_path / "identity"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(identity.make, [folder] * 16))
    kept = identity.load(folder)
    identity.make(folder)
    assert identity.load(folder).chain == kept.chain and [path.name for path in tmp_path.iterdir()] == ["identity"]


def test_the_folder_is_the_environments_or_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GENCV_IDENTITY", str(tmp_path / "mine"))
    assert identity.identity_dir() == tmp_path / "mine" and identity.roots() == ""
    assert not (tmp_path / "mine").exists()  # reading makes none
    monkeypatch.delenv("GENCV_IDENTITY")
    assert identity.identity_dir() == Path.home() / ".config/gencv/identity"


def test_an_identity_of_no_use_is_a_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "identity"
    identity.make(folder)
    for key, complaint in (
        (ec.generate_private_key(ec.SECP256R1()), "not that of the first certificate"),
        (ed25519.Ed25519PrivateKey.generate(), "not that of the first certificate"),
        (ec.generate_private_key(ec.SECP256K1()), "secp256k1; known: secp256r1"),
        (rsa.generate_private_key(65537, 2048), "RSAPrivateKey; known: secp256r1"),
    ):
        write_key(folder, key)
        with pytest.raises(BadInput, match=complaint):
            identity.load(folder)
    (folder / "key.pem").write_text("nothing")
    with pytest.raises(BadInput, match="cannot be used"):
        identity.load(folder)
    (folder / "key.pem").unlink()
    with pytest.raises(BadInput, match=r"key\.pem cannot be read"):
        identity.load(folder)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("x")
    with pytest.raises(BadInput, match="something else than an identity"):
        identity.load(tmp_path / "other")
