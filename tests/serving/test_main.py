"""What `python -m serving` makes of its file, before Ray is started."""

from pathlib import Path

import pytest
import yaml

from gencv.core.errors import BadInput
from serving.__main__ import CONFIG, target_of


def test_every_application_logs_as_the_file_says() -> None:
    config = yaml.safe_load(CONFIG.read_text())
    targets = [target_of(one, config["logging_config"]) for one in config["applications"]]
    assert [one.name for one in targets] == [one["name"] for one in config["applications"]]
    assert {str(one.logging_config) for one in targets} == {str(config["logging_config"])}


def test_a_setting_that_there_is_not_is_named_before_anything_starts(tmp_path: Path) -> None:
    spoof = {"import_path": "serving.spoof:build", "name": "spoof", "route_prefix": "/spoof"}
    with pytest.raises(BadInput, match=r"spoof: bundle: Extra inputs are not permitted"):
        target_of(spoof | {"args": {"bundles": {"a": str(tmp_path)}, "bundle": "b"}}, {})
