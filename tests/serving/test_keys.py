"""A key that is made opens the door, and is kept nowhere."""

import json

import pytest

from gencv.core.errors import BadInput
from serving.door import Key, digest_of
from serving.keys import Config, main


def test_a_key_and_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    main(Config(name="triage", scopes=("spoof",), rate_per_minute=5))
    out, err = capsys.readouterr()
    key, secret = Key(**json.loads(out)), err.split()[-1]
    assert key.sha256 == digest_of(secret) and secret not in out and len(secret) >= 43
    assert key.scopes == ("spoof",) and key.rate_per_minute == 5


@pytest.mark.parametrize("fields", [{"scopes": ()}, {"scopes": ("all",)}, {"scopes": ("spoof",), "rate_per_minute": 0}])
def test_what_is_no_key(fields: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        Config(name="x", **fields)  # type: ignore[arg-type]
