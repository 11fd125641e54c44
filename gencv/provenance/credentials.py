"""C2PA credentials: who says how a picture came to be, signed, in the file itself.

Nothing is asked of a network: no time stamp, no remote credentials, no revocation. Thumbnails are off, since they cost
twenty times the signature (c2pa-python 0.38: 74 ms and 885 kB against 4 ms and 13 kB).
Source: C2PA specification 2.2, by c2pa-python.
"""

import importlib.metadata
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import c2pa
from PIL import Image

from gencv.core.errors import BadInput
from gencv.core.record import picture_id
from gencv.provenance import identity
from gencv.provenance.parameters import SourceType

STATES = {
    "absent": "the file has no credentials",
    "trusted": "untouched since it was signed, by ourselves or one that the library trusts",
    "untrusted": "untouched since it was signed, by someone whom we do not know",
    "invalid": "changed after it was signed, or badly signed",
}


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """What the credentials of a file say, and whether they can be believed."""

    state: str
    """A key of STATES."""
    reason: str = ""
    """What is wrong, in the words of the standard."""
    signer: str = ""
    generator: str = ""
    """The program that claims to have made the file."""
    actions: tuple[str, ...] = ()
    source_type: str = ""
    """The IPTC's digital source type of the first action that has one, without its address."""
    ingredients: tuple[dict[str, str], ...] = ()
    """What the picture was made from: title (the picture's id), relationship, format, state of its own credentials."""

    @property
    def is_valid(self) -> bool:
        """Whether nothing was changed since it was signed, whoever signed."""
        return self.state in ("trusted", "untrusted")


def sign(
    data: bytes,
    *,
    source_type: SourceType = SourceType.GENERATED,
    ingredient: bytes | None = None,
    folder: Path | None = None,
) -> bytes:
    """Return a PNG, JPEG, or WebP with credentials that say how it came to be; the pixels stay as they are.

    ingredient: the file of the photograph that a composite shows, or of the picture that a generation began with; its
    own credentials are kept with it; where they are too damaged for that, it is named with that remark. folder: see
    `identity.load`. Raises BadInput for a file or an ingredient that credentials cannot be for.
    """
    owner = identity.load(folder)
    kind = _mime(data, "picture")
    about: dict[str, str] = {}
    if ingredient is not None:
        relationship = "inputTo" if source_type == SourceType.GENERATED else "componentOf"
        about = {"title": picture_id(ingredient), "relationship": relationship}
        about["format"] = _mime(ingredient, "ingredient")
    try:
        try:
            return _signed(data, kind, owner, source_type, about, ingredient)
        except c2pa.C2paError:
            if ingredient is None:
                raise
            return _signed(data, kind, owner, source_type, about | {"description": _DAMAGED}, None)
    except c2pa.C2paError as error:
        raise BadInput(f"The picture cannot be signed: {error}") from None


def _signed(
    data: bytes,
    kind: str,
    owner: identity.Identity,
    source_type: SourceType,
    about: dict[str, str],
    ingredient: bytes | None,
) -> bytes:
    """Sign, with what is known `about` an ingredient; without its file it is named, and not looked into."""
    claim: dict[str, Any] = {
        "claim_generator_info": [{"name": "gencv", "version": importlib.metadata.version("gencv")}],
        "ingredients": [about] if about and ingredient is None else [],
    }
    with (
        c2pa.Signer.from_callback(owner.sign, owner.algorithm, owner.chain, None) as signer,
        _context(owner.root) as context,
        c2pa.Builder(claim, context=context) as builder,
    ):
        builder.set_intent(c2pa.C2paBuilderIntent.CREATE, _SOURCES[source_type])
        if ingredient is not None:
            builder.add_ingredient(json.dumps(about), about["format"], io.BytesIO(ingredient))
        signed = io.BytesIO()
        builder.sign(signer, kind, io.BytesIO(data), signed)
    return signed.getvalue()


def read(data: bytes, *, folder: Path | None = None) -> Credentials:
    """Read and check the credentials of a file. folder: whose root is trusted, see `identity.load`. Never raises."""
    try:
        root = identity.roots(folder)
    except (BadInput, OSError, ValueError):  # ValueError: a folder's name that no folder can have
        root = ""
    try:
        with _context(root) as context, c2pa.Reader(None, io.BytesIO(data), context=context) as reader:
            return _credentials(json.loads(reader.json()))
    except c2pa.C2paError.ManifestNotFound:
        return Credentials(state="absent", reason=STATES["absent"])
    except c2pa.C2paError.NotSupported:
        return Credentials(state="absent", reason="such a file holds no credentials")
    except Exception as error:  # a parser of what strangers wrote raises whatever it runs into
        if str(error).startswith("Remote:"):  # no class of its own (c2pa-python 0.38)
            return Credentials(state="absent", reason="they are said to lie elsewhere, and nothing is fetched")
        if b"c2pa" not in data:
            return Credentials(state="absent", reason="the file cannot be read")
        return Credentials(state="invalid", reason=str(error))


def _credentials(store: dict[str, Any]) -> Credentials:
    manifests = store.get("manifests", {})
    active = manifests.get(store.get("active_manifest"), {})
    state = {"Trusted": "trusted", "Valid": "untrusted"}.get(store.get("validation_state", ""), "invalid")
    actions = [
        action
        for assertion in _tables(active.get("assertions"))
        if str(assertion.get("label", "")).startswith("c2pa.actions") and isinstance(assertion.get("data"), dict)
        for action in _tables(assertion["data"].get("actions"))
    ]
    signature = active.get("signature_info", {})
    generators = [str(info.get("name", "")) for info in _tables(active.get("claim_generator_info"))]
    sources = [str(action["digitalSourceType"]) for action in actions if action.get("digitalSourceType")]
    return Credentials(
        state=state,
        reason="; ".join(sorted(_failures(store))),
        signer=str(signature.get("common_name") or signature.get("issuer") or ""),
        generator=generators[0] if generators else str(active.get("claim_generator", "")),
        actions=tuple(str(action.get("action", "")) for action in actions),
        source_type=sources[0].rpartition("/")[2] if sources else "",
        ingredients=tuple(_ingredient(part, manifests, state) for part in _tables(active.get("ingredients"))),
    )


def _ingredient(part: dict[str, Any], manifests: dict[str, Any], state: str) -> dict[str, str]:
    """Say of an ingredient what it was, and what was found of its own credentials when it was put in.

    It is the signer who found that: of one who is not trusted (state), trust in others is not taken over.
    """
    codes = _failures(part)
    found = "invalid" if part.get("description") == _DAMAGED else "absent"
    if part.get("active_manifest") in manifests:
        is_known = not codes and state == "trusted"
        found = "invalid" if codes - {_UNKNOWN_SIGNER} else "trusted" if is_known else "untrusted"
    names = ("title", "relationship", "format")
    return {name: str(part.get(name, "")) for name in names} | {"credentials": found}


def _failures(checked: dict[str, Any]) -> set[str]:
    results = checked.get("validation_results", {}).get("activeManifest", {})
    return {str(failure.get("code", "")) for failure in _tables(results.get("failure"))}


def _tables(values: object) -> list[dict[str, Any]]:
    """Return the tables of a list: what a signer puts into custom assertions has any shape."""
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []


_DAMAGED = "Its own credentials are too damaged to be kept."
_UNKNOWN_SIGNER = "signingCredential.untrusted"
_SOURCES = {
    SourceType.GENERATED: c2pa.C2paDigitalSourceType.TRAINED_ALGORITHMIC_MEDIA,
    SourceType.PART_GENERATED: c2pa.C2paDigitalSourceType.COMPOSITE_WITH_TRAINED_ALGORITHMIC_MEDIA,
    SourceType.COMPOSITE: c2pa.C2paDigitalSourceType.COMPOSITE,
}


def _context(root: str) -> c2pa.Context:
    return c2pa.Context.from_dict(
        {
            "builder": {"thumbnail": {"enabled": False}},
            "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_after_sign": False},
            **({"trust": {"user_anchors": root}} if root else {}),
        }
    )


def can_hold(data: bytes) -> bool:
    """Say whether credentials can be for a file, as a picture or as an ingredient: a BMP, for one, has no place."""
    return _kind(data) in c2pa.Builder.get_supported_mime_types()


def _mime(data: bytes, what: str) -> str:
    kind = _kind(data)
    if kind is None or kind not in c2pa.Builder.get_supported_mime_types():
        raise BadInput(f"Credentials cannot be for this {what} ({kind or 'no picture'}); PNG, JPEG, and WebP can.")
    return kind


def _kind(data: bytes) -> str | None:
    try:
        kind = Image.open(io.BytesIO(data)).get_format_mimetype()
    except Exception:  # plug-ins raise whatever their parser runs into
        return None
    return "image/jpeg" if kind == "image/mpo" else kind  # most phones: a JPEG with a second picture behind it
