from gencv.core.record import FAMILIES, FAMILY_OF, family_of, picture_id


def test_the_id_depends_on_the_bytes_alone() -> None:
    assert picture_id(b"") == "cae66941d9efbd404e4d88758ea67670"
    assert len({picture_id(bytes([k])) for k in range(256)}) == 256


def test_the_family_follows_from_the_generators_name_where_that_says_it() -> None:
    assert set(FAMILY_OF.values()) <= set(FAMILIES)
    assert (family_of("StyleGAN2_ffhq"), family_of("sd15"), family_of("camera")) == ("gan", "diffusion", "real")
    assert family_of("somebody's own") == "unknown"
