"""A server around a detector as one writes it in ten minutes, which benchmarks/serving.py measures gencv's against.

    python benchmarks/plain_server.py /data/runs/bundle 8001

FastAPI and uvicorn, one process; a request is judged in a thread of FastAPI's own pool, alone. It has no batches,
copies, keys, limits, history, or request ids.
"""

import os
import sys
import time
from typing import Annotated, Any

import torch
import uvicorn
from common import NICE
from fastapi import FastAPI, File

from gencv.services.spoof import Checker, open_checker


def build_api(checker: Checker) -> FastAPI:
    api = FastAPI()

    @api.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @api.post("/v1/check")
    def check(image: Annotated[bytes, File()]) -> dict[str, Any]:
        began = time.perf_counter()
        answers = checker.check(image)
        return {"answers": answers, "model_ms": (time.perf_counter() - began) * 1000}

    return api


if __name__ == "__main__":
    os.nice(NICE)
    torch.set_num_threads(1)
    uvicorn.run(build_api(open_checker(sys.argv[1])), host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
