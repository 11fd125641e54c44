"""Mean spectra: sums over pictures that can be added up in any order, and what they say."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class MeanSpectrum:
    """The sums over `count` pictures of one generator and one signal, in dB; S is the side of their squares in px."""

    count: int
    power: np.ndarray
    """float64 [S, S], the sum of the log-power spectra, zero frequency in the middle."""
    profile: np.ndarray
    """float64 [S/2 + 1], the sum of their radial profiles."""
    profile_squared: np.ndarray
    """float64 [S/2 + 1], the sum of the squares of these."""

    def __add__(self, other: "MeanSpectrum") -> "MeanSpectrum":
        return MeanSpectrum(
            count=self.count + other.count,
            power=self.power + other.power,
            profile=self.profile + other.profile,
            profile_squared=self.profile_squared + other.profile_squared,
        )

    @classmethod
    def of(cls, power: np.ndarray, profile: np.ndarray) -> "MeanSpectrum":
        """Begin with one picture."""
        return cls(count=1, power=power, profile=profile, profile_squared=profile**2)

    @property
    def mean_power(self) -> np.ndarray:
        return self.power / self.count

    @property
    def mean_profile(self) -> np.ndarray:
        return self.profile / self.count

    @property
    def standard_error(self) -> np.ndarray:
        """Of the mean profile, over pictures: [S/2 + 1]; NaN for one picture."""
        if self.count < 2:
            return np.full(len(self.profile), np.nan)
        variance = (self.profile_squared - self.profile**2 / self.count) / (self.count - 1)
        return np.asarray(np.sqrt(np.clip(variance, 0, None) / self.count))


@dataclass(frozen=True, kw_only=True)
class Spectra:
    """Mean spectra by signal and by generator, of squares of `side_px`."""

    side_px: int
    by_signal: dict[str, dict[str, MeanSpectrum]]
    num_small: dict[str, int]
    """Pictures of a generator that are smaller than the square, and were left out."""

    def to_dict(self) -> dict[str, Any]:
        """Return the radial profiles in dB, with their standard errors over pictures, as JSON has them."""
        return {
            "side_px": self.side_px,
            "frequencies": frequencies(self.side_px).tolist(),
            "num_small": self.num_small,
            "profiles": {
                signal: {
                    name: {
                        "pictures": mean.count,
                        "mean_db": mean.mean_profile.round(4).tolist(),
                        "standard_error_db": None if mean.count < 2 else mean.standard_error.round(4).tolist(),
                    }
                    for name, mean in sorted(means.items())
                }
                for signal, means in self.by_signal.items()
            },
        }


def frequencies(side: int) -> np.ndarray:
    """Return the frequency of every ring of `radial_profile`, in cycles a pixel: [S/2 + 1], 0 to 0.5."""
    return np.arange(side // 2 + 1) / side
