"""The certificate that credentials are signed with: one's own, made on first use, or the user's.

A folder holds `chain.pem`, the signer's certificate first and its root last, and `key.pem`, the signer's private
key. Where there is neither, they are made: an ES256 root that signs one certificate and whose key is then forgotten.
Such a root says that two pictures come from one place, and nobody but its owner has a reason to trust it.
Source: C2PA 2.2, 14.5, for what a signer's certificate must hold.
"""

import datetime
import functools
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from c2pa import C2paSigningAlg
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gencv.core.errors import BadInput

YEARS = 20
"""No time stamp is bought, so credentials end with their certificate."""


@dataclass(frozen=True)
class Identity:
    """A signer: the chain as PEM, its root as PEM, and the private key."""

    chain: str
    root: str
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

    @property
    def algorithm(self) -> C2paSigningAlg:
        """The name of the algorithm, as C2PA has it."""
        return ALGORITHMS[_curve(self.key)][0]

    def sign(self, data: bytes) -> bytes:
        """Sign bytes by the key's algorithm."""
        if isinstance(self.key, ed25519.Ed25519PrivateKey):
            return self.key.sign(data)
        return self.key.sign(data, ec.ECDSA(ALGORITHMS[_curve(self.key)][1]))


def identity_dir() -> Path:
    """Return the folder of the certificate and its key: $GENCV_IDENTITY, else ~/.config/gencv/identity."""
    return Path(os.environ.get("GENCV_IDENTITY") or Path.home() / ".config/gencv/identity")


def load(folder: Path | None = None) -> Identity:
    """Return the identity of a folder, by default `identity_dir`; make it where the folder is not there or empty.

    Raises BadInput where its files are incomplete, of no use, or the key is not theirs.
    """
    folder = folder or identity_dir()
    if not (folder / "chain.pem").exists() and not (folder / "key.pem").exists():
        make(folder)
    try:
        times = ((folder / "chain.pem").stat().st_mtime_ns, (folder / "key.pem").stat().st_mtime_ns)
    except OSError as error:
        raise BadInput(f"{error.filename} cannot be read; an identity is a chain.pem and a key.pem.") from None
    return _load(folder, times)


def roots(folder: Path | None = None) -> str:
    """Return the root of an identity as PEM, "" where there is none: reading credentials makes no identity."""
    folder = folder or identity_dir()
    return load(folder).root if (folder / "chain.pem").exists() else ""


def make(folder: Path) -> None:
    """Make an identity. Of several processes that do so at once, the first one's stays."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = certificate("gencv local root", root_key, "gencv local root", root_key)
    leaf = certificate("gencv local signer", key, "gencv local root", root_key)
    pems = [each.public_bytes(serialization.Encoding.PEM) for each in (leaf, root)]
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".identity-") as made:
        draft = Path(made) / "identity"
        draft.mkdir(mode=0o700)
        for name, content in (("chain.pem", b"".join(pems)), ("key.pem", secret)):
            (draft / name).touch(mode=0o600)
            (draft / name).write_bytes(content)
        try:
            draft.rename(folder)  # takes the place of an empty folder, and of no other
        except OSError:
            if not (folder / "chain.pem").exists():
                raise BadInput(f"{folder} holds something else than an identity (chain.pem, key.pem).") from None


@functools.lru_cache(maxsize=16)
def _load(folder: Path, times: tuple[int, int]) -> Identity:
    try:
        certificates = x509.load_pem_x509_certificates((folder / "chain.pem").read_bytes())
        key = serialization.load_pem_private_key((folder / "key.pem").read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise BadInput(f"The identity in {folder} cannot be used: {error}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) or _curve(key) not in ALGORITHMS:
        raise BadInput(f"The key in {folder} is {_curve(key)}; known: {', '.join(ALGORITHMS)}.")
    if certificates[0].public_key() != key.public_key():
        raise BadInput(f"The key in {folder} is not that of the first certificate of its chain.pem.")
    pems = [each.public_bytes(serialization.Encoding.PEM).decode() for each in certificates]
    return Identity(chain="".join(pems), root=pems[-1], key=key)


def _curve(key: object) -> str:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.curve.name
    return "ed25519" if isinstance(key, ed25519.Ed25519PrivateKey) else type(key).__name__.removeprefix("_")


def certificate(
    subject: str,
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    """Certify a key: a root where the issuer's key is the same, else one that may sign credentials."""
    is_root = key is issuer_key
    now = datetime.datetime.now(datetime.UTC)
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only"), False
    )
    usage |= {"decipher_only": False, "digital_signature": not is_root, "key_cert_sign": is_root, "crl_sign": is_root}
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=365 * YEARS))
        .add_extension(x509.BasicConstraints(ca=is_root, path_length=0 if is_root else None), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if not is_root:
        purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        builder = builder.add_extension(purpose, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "gencv local identity"),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


ALGORITHMS: dict[str, tuple[C2paSigningAlg, hashes.HashAlgorithm]] = {
    "secp256r1": (C2paSigningAlg.ES256, hashes.SHA256()),
    "secp384r1": (C2paSigningAlg.ES384, hashes.SHA384()),
    "secp521r1": (C2paSigningAlg.ES512, hashes.SHA512()),
    "ed25519": (C2paSigningAlg.ED25519, hashes.SHA512()),
}
"""How a kind of key signs, by the name of its curve."""
