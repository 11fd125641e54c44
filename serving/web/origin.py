"""What a file says of where it comes from, as /spoof and /v1 tell it, in sentences."""

from typing import Any

from serving.web.markup import facts, fold, text

NOTHING = "The file says nothing of where it comes from. Most files do not, so that speaks for neither."
SOURCES = {
    "trainedAlgorithmicMedia": "generated",
    "compositeWithTrainedAlgorithmicMedia": "generated in part",
    "composite": "put together of other pictures",
    "digitalCapture": "taken by a camera",
}
"""The IPTC's digital source types that most files have."""


def origin(provenance: dict[str, Any]) -> str:
    """Return HTML: what is there, what it means, and how far it can be believed."""
    said = [*of_credentials(provenance["credentials"]), *of_marks(provenance)]
    told = "".join(f"<li>{text(sentence)}</li>" for sentence in said) or f"<li>{text(NOTHING)}</li>"
    return f'<section class="origin"><h4>What the file says</h4><ul>{told}</ul>{stated(provenance)}</section>'


def of_credentials(found: dict[str, Any]) -> list[str]:
    signer = found["signer"] or "somebody without a name"
    source = SOURCES.get(found["source_type"], "")
    as_what = f" It was signed as {source}." if source else ""
    sentences = {
        "trusted": f"Signed by {signer}, and not a byte was changed since.{as_what}",
        "untrusted": f"Signed by {signer}, whom nobody here knows, and not changed since.{as_what}",
        "invalid": "It carries a signature that does not hold: the file was changed after it was signed.",
    }
    return [sentences[found["state"]]] if found["state"] in sentences else []


def of_marks(provenance: dict[str, Any]) -> list[str]:
    parameters, is_marked = provenance["parameters"], provenance["watermark"]["found"]
    said = []
    if is_marked:
        said.append("The invisible mark of gencv is in it: gencv made it, or made what it was made from.")
    if parameters["found"]:
        said.append("It says how it was generated. Anyone can write that into a file, or take it out.")
    if provenance["agree"] is False:
        said.append("The mark belongs to other words than those in the file: one of them was put there later.")
    return said


def stated(provenance: dict[str, Any]) -> str:
    values = provenance["parameters"]["values"] or {}
    words = {
        "Prompt": values.get("prompt"),
        "Not": values.get("negative_prompt"),
        "Generator": values.get("model"),
        "Seed": values.get("seed"),
        "Steps": values.get("num_inference_steps"),
        "Signed with": provenance["credentials"]["generator"],
        "Made from": ", ".join(one.get("title", "") for one in provenance["credentials"]["ingredients"]),
    }
    return fold("What it says in full", rows) if (rows := facts(words)) else ""
