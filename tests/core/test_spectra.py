import numpy as np

from gencv.core.spectra import MeanSpectrum


def test_sums_say_what_the_pictures_do_in_any_order() -> None:
    rng = np.random.default_rng(0)
    profiles = rng.normal(20, 5, (7, 5))
    spectra = [MeanSpectrum.of(rng.normal(size=(8, 8)), profile) for profile in profiles]
    total = (spectra[0] + spectra[1] + spectra[2]) + (spectra[6] + spectra[5]) + (spectra[3] + spectra[4])
    assert total.count == 7
    np.testing.assert_allclose(total.mean_power, np.mean([one.power for one in spectra], axis=0))
    np.testing.assert_allclose(total.mean_profile, profiles.mean(0))
    np.testing.assert_allclose(total.standard_error, profiles.std(0, ddof=1) / np.sqrt(7))
    assert np.isnan(spectra[0].standard_error).all()
