"""Serve everything of serving/config.yaml on this machine: `make serve`, or `python -m serving [CONFIG]`.

It connects to a running Ray, or starts one, prints the addresses once all answer, and stops with Ctrl-C or SIGTERM. On
a cluster `serve deploy serving/config.yaml` does the same and leaves it running (docs/operations.md).
"""

import logging
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any, get_type_hints
from urllib.request import urlopen

import ray
import yaml
from pydantic import ValidationError
from ray import serve
from ray.serve import RunTarget
from ray.serve.config import HTTPOptions

from gencv.core.errors import BadInput, GencvError
from gencv.pipelines.cluster import living

CONFIG = Path(__file__).with_name("config.yaml")


def main(path: Path = CONFIG) -> None:
    """Start all applications of a file, and wait for Ctrl-C. Raises BadInput."""
    began = time.monotonic()
    config: dict[str, Any] = yaml.safe_load(path.read_text())
    logging_config = config["logging_config"]
    # Before Ray, as most mistakes are found here.
    targets = [target_of(one, logging_config) for one in config["applications"]]
    http = HTTPOptions(**config["http_options"])
    ray.init(living(None), log_to_driver=False, logging_level=logging.WARNING)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # after Ray, whose own would abort
    serve.start(proxy_location=config["proxy_location"], http_options=http, logging_config=logging_config)
    try:
        serve.run_many(targets)
        places = {
            one["name"]: f"http://{http.host}:{http.port}{one['route_prefix'].rstrip('/')}"
            for one in config["applications"]
        }
        with ThreadPoolExecutor(len(places)) as pool:  # which loads the models, side by side
            list(pool.map(ready, places.values()))
        print(f"Serving after {time.monotonic() - began:.0f} s; Ctrl-C stops it.")
        for name, place in places.items():
            print(f"  {name:<10} {place if name == 'web' else f'{place}/docs'}")
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        pass
    finally:
        serve.shutdown()


def ready(place: str) -> None:
    """Wait until an application has loaded its models. Raises HTTPError where it cannot."""
    with urlopen(f"{place}/readyz"):
        pass


def target_of(application: dict[str, Any], logging_config: dict[str, Any]) -> RunTarget:
    """Build one application from its entry, as Serve does. Raises BadInput.

    logging_config: which `serve deploy` hands on to every application by itself, and `run_many` does not.
    """
    module, _, name = application["import_path"].partition(":")
    build = getattr(import_module(module), name)
    try:
        args = get_type_hints(build)["args"](**application.get("args", {}))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise BadInput(f"{application['name']}: {field}: {first['msg']}.") from None
    name, prefix = application["name"], application["route_prefix"]
    return RunTarget(build(args), name=name, route_prefix=prefix, logging_config=logging_config)


if __name__ == "__main__":
    try:
        main(*map(Path, sys.argv[1:]))
    except GencvError as error:
        sys.exit(f"serving: {error}")
