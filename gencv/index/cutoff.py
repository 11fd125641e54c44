"""When to say that a table has no good match: what unrelated texts reach in it.

The best cosine of a query is compared with the best cosines of PHRASES, which have nothing to do with most pictures.
What one in twenty of them exceeds is the level; a query under it is said to have no good match. Some phrases fit a
picture after all, the more the larger a table is: the level is then too high, and says "no good match" too often.

Choices, measured with the starter encoder on 51 photographs, 255 captions of theirs, and 40 unrelated sentences. The
cosine itself tells related from unrelated texts best (area under the curve .86); in standard deviations over the
query's own cosines with the table it is .64, with robust ones at most .72: where several pictures fit, they raise the
deviation that they are measured by. Two of the 40 sentences are called good, and 42 % of the captions are refused, 31 %
of those that find their picture first: this encoder tells no more. At one in a hundred 62 % are refused. A Gumbel curve
through the lower quartiles is worse than the plain quantile. Captions against pictures unlike their own, instead of
PHRASES, refuse 57 % of the captions here, and on made data call 29 to 41 % of unrelated texts good: the level depends
too much on which pictures are left out. All of this was chosen on these same pictures and sentences.
In a table of more rows than the sample the best of them stands higher; the level is raised by what it is for
independent normal cosines, sqrt(2 ln N) deviations.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gencv.core import storage
from gencv.core.contracts import Encoder
from gencv.core.errors import BadInput
from gencv.core.settings import Settings
from gencv.index.compose import encode_texts

CUTOFF = "cutoff.json"
PHRASES = tuple(Path(__file__).with_name("phrases.txt").read_text("utf-8").splitlines())
"""Two hundred short texts, of things that are seldom photographed or that no picture shows."""
MAX_PICTURES = 10_000
"""Pictures that unrelated texts are compared with."""
SHARE = 0.05
"""Of unrelated texts, how many may be said to have a good match."""


@dataclass(frozen=True, kw_only=True)
class Cutoff(Settings):
    """What is needed to judge the best match of a text in one table."""

    level: float
    """Cosine from which a match is good."""
    cosines: tuple[float, ...]
    """The best matches of the unrelated texts, sorted, for a table of this size."""
    version: int
    """Of the table that this was measured on."""

    def chance(self, best: float) -> float:
        """Return the share of unrelated texts whose best match is as good as this cosine."""
        return float(np.mean(np.array(self.cosines) >= best))

    def save(self, folder: str) -> None:
        """Write the measurement beside a table, whole or not at all."""
        storage.write_bytes(storage.join(folder, CUTOFF), json.dumps(self.to_dict()).encode())

    @classmethod
    def load(cls, folder: str, version: int) -> "Cutoff | None":
        """Open what lies beside a table; None if it was measured on another version, or cannot be read."""
        path = storage.join(folder, CUTOFF)
        if not storage.exists(path):
            return None
        try:
            values = json.loads(storage.read_bytes(path))
            cosines = tuple(float(value) for value in values["cosines"])
            found = cls(level=float(values["level"]), cosines=cosines, version=int(values["version"]))
        except (KeyError, ValueError, TypeError):
            return None
        return found if found.version == version else None


def encode_phrases(encoder: Encoder) -> np.ndarray:
    """Encode PHRASES -> float32 [200, D] of norm 1. Raises NotSupported where there is no text encoder."""
    return encode_texts(encoder, list(PHRASES))


def calibrate(phrases: np.ndarray, pictures: np.ndarray, num_rows: int, version: int) -> Cutoff:
    """Measure what unrelated texts reach in a table. Raises BadInput without two pictures.

    phrases: float32 [P, D], `encode_phrases`. pictures: float32 [N, D] of norm 1, the table's or MAX_PICTURES drawn
    from them; num_rows, version: of the table.
    """
    if len(pictures) < 2:
        raise BadInput("A cut-off needs at least two pictures.")
    found = phrases @ pictures.T
    higher = highest(num_rows) - highest(len(pictures))
    cosines = np.sort(found.max(axis=1) + higher * np.median(found.std(axis=1)))
    level = float(np.quantile(cosines, 1 - SHARE))
    return Cutoff(level=level, cosines=tuple(cosines.tolist()), version=version)


def highest(count: int) -> float:
    """Return about where the highest of `count` standard normal draws lies."""
    return math.sqrt(2 * math.log(count))
