"""What an application is started with: `args` of serving/config.yaml, which the environment overrides."""

import json
import os
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from gencv.core.errors import BadInput
from serving.door import Door


class Replicas(BaseModel):
    """How many copies of a model's deployment there are, and what each takes."""

    model_config = ConfigDict(extra="forbid")

    min: int = Field(1, ge=0)
    max: int = Field(1, ge=1)
    """More than `min`: Serve starts more where requests wait, and stops them again."""
    num_cpus: float = Field(0.1, ge=0)
    num_gpus: float = Field(0, ge=0)
    """A share of a GPU is bookkeeping of Ray's: the shares on one GPU must fit into its memory."""
    max_batch: int = Field(16, ge=1)
    """The most requests that the model takes at once."""
    max_queued: int = Field(64, ge=1)
    """Requests that may wait for it, from each copy of the API; more are answered 429."""

    def options(self) -> dict[str, Any]:
        """Return them as options of a deployment."""
        scale: dict[str, Any] = {"num_replicas": self.min}
        if self.max > self.min:
            scale = {"autoscaling_config": {"min_replicas": self.min, "max_replicas": self.max}}
        return {
            **scale,
            "ray_actor_options": {"num_cpus": self.num_cpus, "num_gpus": self.num_gpus},
            "max_ongoing_requests": 2 * self.max_batch,
            "max_queued_requests": self.max_queued,
        }


class History(BaseModel):
    """What is written down of what was said and made (docs/history.md)."""

    model_config = ConfigDict(extra="forbid")

    url: str = ""
    """sqlite:///PATH for one machine, postgresql://HOST/NAME for many; "" writes nothing down."""
    keep_pictures: str = ""
    """A folder or URI for the pictures themselves; "" keeps none."""
    days: float = Field(0, ge=0, le=36_500)
    """Rows and pictures are deleted once they are older; 0 keeps them."""


class Common(BaseModel):
    """What every application is started with."""

    model_config = ConfigDict(extra="forbid")

    door: Door = Door()

    def from_environment(self, prefix: str) -> Self:
        """Return them with what the environment says: GENCV_SPOOF_REPLICAS__MAX=4 is `replicas.max` of /spoof.

        A value is read as JSON where it is some, else as text. Raises BadInput for a name that there is not.
        """
        values = self.model_dump()
        for name, text in os.environ.items():
            if name.startswith(prefix):
                *path, last = name.removeprefix(prefix).lower().split("__")
                place: Any = values
                for part in path:
                    place = place.get(part) if isinstance(place, dict) else None
                if not isinstance(place, dict) or last not in place:
                    raise BadInput(f"${name} names no setting; {prefix}FIELD or {prefix}GROUP__FIELD are accepted.")
                place[last] = value_of(text)
        return type(self).model_validate(values)


class Settings(Common):
    """What an application with models is started with."""

    api_replicas: int = Field(1, ge=1)
    """Copies of the API itself, which has no model."""
    replicas: Replicas = Replicas()
    history: History = History()

    def api_options(self) -> dict[str, Any]:
        """Return the options of the deployment that has the API; it waits more than it computes."""
        return {
            "num_replicas": self.api_replicas,
            "max_ongoing_requests": 128,
            "ray_actor_options": {"num_cpus": 0.1},
        }


def value_of(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
