"""/spoof: is it genuine?

    curl -F image=@photo.jpg http://127.0.0.1:8000/spoof/v1/check

`build_api` is HTTP over a service and knows no Ray; `build` deploys it: copies of the API in front of copies of the
detectors, which load bundles by name as they are asked for.
"""

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Literal, Protocol

from fastapi import FastAPI, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from ray import serve
from ray.serve import Application
from ray.serve.handle import DeploymentHandle

from gencv.core.errors import GencvError, UnknownName
from gencv.history.recorder import Recorder
from serving import errors
from serving.answers import Checked
from serving.api import new_api
from serving.batching import Batcher
from serving.calls import call
from serving.feedback import add_feedback
from serving.fetch import Fetcher, Urls
from serving.history import add_history, open_recorder, record_verdicts
from serving.loading import Loads
from serving.metrics import batch_sizes, count_waiting, stages, verdicts
from serving.pictures import as_list, counted, limits_of
from serving.requests import body_of, read
from serving.settings import Settings

MAX_LOADED = 4
"""Bundles in one copy of the detectors; the one that was asked for the longest ago goes first."""


class SpoofSettings(Settings):
    """What /spoof is started with."""

    bundles: dict[str, str] = Field(min_length=1)
    """Names and folders of bundles; a request names one of these, and nothing else is ever opened."""
    galleries: dict[str, str] = Field(default_factory=dict)
    """For some of the bundles the embeddings that they were fitted on, which explain=neighbours shows."""
    default: tuple[str, ...] = ()
    """Those that judge where a request names none; () is all of them."""
    threshold: str = "eer"
    """Which of a bundle's thresholds decides."""
    urls: Urls = Urls()
    """Whether pictures may be given by URL."""


class Options(BaseModel):
    """What a request may choose."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    bundles: tuple[str, ...] = ()
    """Who judges, of the names that /readyz lists."""
    faces: Literal["largest", "each"] = "largest"
    """Which faces a bundle for faces judges."""
    reencode: bool = True
    """Judge three re-encodings too: a verdict that they turn is uncertain."""
    explain: tuple[Literal["attention", "neighbours"], ...] = ()
    """Pictures of why, beside each answer: a map of where the detector looks, the nearest training pictures."""
    provenance: bool = True
    """Read what the file says of its origin. It stands beside the score and does not change it."""
    url: Annotated[tuple[str, ...], BeforeValidator(as_list, json_schema_input_type=str | list[str])] = ()
    """Where a picture is to be fetched from, or several; they come after those of `image`. Off unless switched on."""


class JsonOptions(Options):
    """The same, with the pictures beside it."""

    image: str | list[str] | None = None
    """Base64, or `data:` URLs with base64."""


class Service(Protocol):
    """Who judges; `Detectors` behind a handle, or a fake."""

    async def check(self, bundle: str, data: bytes, options: Options) -> dict[str, Any]:
        """Return the `answers` of one bundle and the `timing_ms` of its steps. Raises BadImage or BadInput."""
        ...

    async def provenance(self, data: bytes) -> dict[str, Any]: ...

    async def ready(self) -> dict[str, Any]: ...


def build_api(service: Service, settings: SpoofSettings, recorder: Recorder | None = None) -> FastAPI:
    """Return the application; see `Service`. recorder: where verdicts are written down; it is closed with it."""
    stop = recorder.close if recorder else None
    api = new_api("spoof", "gencv spoof", __doc__ or "", settings.door, service.ready, stop)
    fetcher = Fetcher(settings.urls)
    add_history(api, recorder, "verdicts")
    add_feedback(api, recorder)

    @api.post(
        "/v1/check", openapi_extra={"requestBody": body_of(Options, JsonOptions)}, responses={200: {"model": Checked}}
    )
    async def check(request: Request) -> dict[str, Any]:
        """Judge one or many pictures.

        Of many each has its answers or its error; where none can be judged the first one's error is the answer.
        """
        began = time.perf_counter()
        images, options = await read(request, Options, JsonOptions, settings.door.max_images)
        names = options.bundles or settings.default or list(settings.bundles)
        for name in names:
            if name not in settings.bundles:
                raise UnknownName("bundle", name, settings.bundles)
        counted([*images, *options.url], "image", settings.door.max_images)
        given = [*images, *await fetcher.fetch_all(options.url, request.state.share.grow)]
        results = await asyncio.gather(*(judged(service, name, data, names, options) for name, data in given))
        failed = [result["error"] for result in results if result["error"]]
        if len(failed) == len(results):
            raise failed[0]
        for result in results:
            if result["error"]:
                result["error"] = errors.told(result["error"], "image")["error"]
        if recorder:
            for (_, data), result in zip(given, results, strict=True):
                if isinstance(data, bytes):
                    record_verdicts(recorder, request.state, data, result["answers"])
        took_ms = round((time.perf_counter() - began) * 1000, 1)
        return {"id": request.state.request_id, "results": results, "timing_ms": {"total": took_ms}}

    return api


async def judged(
    service: Service, name: str, data: bytes | GencvError, bundles: Sequence[str], options: Options
) -> dict[str, Any]:
    """Return one picture's result; its `error` is a GencvError or None. data: the picture, or why there is none."""
    if isinstance(data, GencvError):
        return unjudged(name, data)
    origin = asyncio.ensure_future(service.provenance(data)) if options.provenance else None
    try:
        found = await asyncio.gather(*(service.check(each, data, options) for each in bundles))
        provenance = await origin if origin else None
    except GencvError as error:
        if origin:
            origin.cancel()
        if isinstance(error, errors.Busy):
            raise  # nothing is wrong with the picture
        return unjudged(name, error)
    answers = [
        {"bundle": each, "digest": one["digest"], **answer}
        for each, one in zip(bundles, found, strict=True)
        for answer in one["answers"]
    ]
    for answer in answers:
        verdicts().inc(tags={"task": answer["task"], "label": answer["label"]})
    id = answers[0]["id"]
    timing = {each: one["timing_ms"] for each, one in zip(bundles, found, strict=True)}
    return {"name": name, "id": id, "answers": answers, "provenance": provenance, "error": None, "timing_ms": timing}


def unjudged(name: str, error: GencvError) -> dict[str, Any]:
    return {"name": name, "id": None, "answers": [], "provenance": None, "error": error, "timing_ms": {}}


class Detectors:
    """Bundles, each loaded when it is first asked for, and their batches."""

    def __init__(self, settings: SpoofSettings) -> None:
        self.settings, self.limits = settings, limits_of(settings.door)
        self.loads = Loads()

    @serve.multiplexed(max_num_models_per_replica=MAX_LOADED)
    async def loaded(self, name: str) -> Any:
        from gencv.services.spoof import open_checker

        settings = self.settings
        opening = partial(
            open_checker,
            settings.bundles[name],
            threshold=settings.threshold,
            limits=self.limits,
            gallery=settings.galleries.get(name, ""),
        )
        checker = await self.loads(name, opening)
        size = self.settings.replicas.max_batch
        batch = Batcher(checker.judge, size, on_batch=noted, on_waiting=count_waiting("spoof", name))
        return checker, batch

    async def check(self, data: bytes, options: Options) -> dict[str, Any]:
        checker, batch = await self.loaded(serve.get_multiplexed_model_id())
        began = time.perf_counter()
        subject = await asyncio.to_thread(checker.examine, data, faces=options.faces, reencode=options.reencode)
        examined = time.perf_counter()
        answers = await batch(subject)
        times = {"examine": examined - began, "judge": time.perf_counter() - examined}
        if options.explain:
            why = await asyncio.to_thread(checker.explain, subject, options.explain)
            answers = [answer | {"explanations": one} for answer, one in zip(answers, why, strict=True)]
            times["explain"] = time.perf_counter() - examined - times["judge"]
        for stage, took_s in times.items():
            stages().observe(took_s, {"application": "spoof", "stage": stage})
        timing = {stage: round(took_s * 1000, 1) for stage, took_s in times.items()}
        return {"answers": answers, "digest": checker.digest, "timing_ms": timing}

    async def provenance(self, data: bytes) -> dict[str, Any]:
        from gencv.provenance import stamp

        found = await asyncio.to_thread(stamp.read, data)
        return found.to_dict()

    async def digest(self) -> str:
        checker, _ = await self.loaded(serve.get_multiplexed_model_id())
        digest: str = checker.digest
        return digest


def noted(size: int) -> None:
    batch_sizes().observe(size, {"application": "spoof"})


class Remote:
    """The `Service` behind a handle."""

    def __init__(self, detectors: DeploymentHandle, settings: SpoofSettings) -> None:
        self.detectors, self.settings = detectors, settings

    async def check(self, bundle: str, data: bytes, options: Options) -> dict[str, Any]:
        found: dict[str, Any] = await call(self.detectors, "check", data, options, multiplexed_model_id=bundle)
        return found

    async def provenance(self, data: bytes) -> dict[str, Any]:
        found: dict[str, Any] = await call(self.detectors, "provenance", data)
        return found

    async def ready(self) -> dict[str, Any]:
        names = self.settings.default or list(self.settings.bundles)
        digests = [await call(self.detectors, "digest", multiplexed_model_id=name) for name in names]
        return {"bundles": dict(zip(names, digests, strict=True))}


@serve.ingress()  # late-bound: the application is made in the replica
class Spoof:
    """The API, in a process without a model."""

    def __init__(self, detectors: DeploymentHandle, settings: SpoofSettings) -> None:
        self.service, self.settings = Remote(detectors, settings), settings

    def __serve_build_asgi_app__(self) -> FastAPI:
        return build_api(self.service, self.settings, open_recorder(self.settings.history))


def build(args: SpoofSettings) -> Application:
    """Return the application for Serve, as serving/config.yaml names it."""
    settings = args.from_environment("GENCV_SPOOF_")
    detectors = serve.deployment(name="detectors", **settings.replicas.options())(Detectors).bind(settings)
    return serve.deployment(name="spoof", **settings.api_options())(Spoof).bind(detectors, settings)
