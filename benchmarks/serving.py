"""Serve the starter models and measure what clients see: load, rates, what serving adds, and what kills cost.

    python benchmarks/serving.py --demo runs/demo
    python benchmarks/serving.py --demo runs/demo --part kills

Starts servers of its own, on ports of its own, with what `make serve` makes. Result on 2 vCPU: docs/results.md.

load   All applications under CLIENTS clients, each of which asks one thing after the other, mixed: photographs to
       judge and to search with, texts, thumbnails, small paintings, health. Accepted answers' times by kind, refusals
       that say when to come again, errors; and the memory of all processes together (PSS), the last minute's over the
       first's. A round of WARM_S before that does not count.
rates  Pictures judged a second: offline, `examine` and `judge` in batches, one process a core; by gencv, one copy of
       the detector a core; and by a plain server of FastAPI and uvicorn around the same detector. One thread each, the
       same files, in turns; gencv once more with HAProxy in place of Serve's own proxy. Then one client alone: the time
       of a request less the detector's own, by all servers. Provenance is left out, which the other two do not read;
       gencv's rate with it stands beside.
kills  `kill -9` under NUM_KILL_CLIENTS clients: of a copy of the detector, of a copy of the API, both once more with
       deploy/haproxy.cfg in front, of Serve's proxy, and of every process of the node at once, while verdicts are
       written down and pictures are added to an index. What clients lost, the seconds until all copies run again, and
       what of that which was answered is still there.

Everything goes to OUT/serving.json, and as tables to standard output.
"""

import asyncio
import json
import os
import shutil
import sqlite3
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import clients
import httpx2
import numpy as np
import psutil
import torch
from common import CORES, cut_pictures, in_processes, load, options, since, start_together
from servers import HAPROXY, Memory, Server, free_port, front, gencv, keyed, kill, plain

from gencv.index.table import Index
from gencv.services.spoof import open_checker

CLIENTS, NUM_RATE_CLIENTS, NUM_KILL_CLIENTS = 64, 16, 16
WARM_S = 20.0
BATCH = 16
BEFORE_KILL_S, BACK_S = 5.0, 60.0
"""How long clients ask before something is killed, and how long a recovery is waited for."""

Facts = dict[str, Any]
Table = list[Facts]


def measure_load(paths: list[Path], demo: Path, work: Path, seconds: float) -> dict[str, Table]:
    index = Index.open(str(demo / "index"))
    ids = index.scan(["id"])["id"].to_pylist()
    kinds = clients.mixed(paths, ids)
    with gencv("load", work, demo, free_port(), spoof={}, search={}, diffusion={"jobs": {}}) as server:
        for name in ("spoof", "search", "v1"):
            httpx2.get(f"{server.address}/{name}/readyz", timeout=120).raise_for_status()
        asyncio.run(
            clients.ask(server.address, kinds, clients=CLIENTS, until=clients.for_seconds(min(WARM_S, seconds)))
        )
        with Memory(server) as memory:
            began = time.monotonic()
            seen = asyncio.run(clients.ask(server.address, kinds, clients=CLIENTS, until=clients.for_seconds(seconds)))
            took_s = time.monotonic() - began
        window = min(60.0, seconds / 2)
        before, after = memory.mean(0, window), memory.mean(seconds - window, seconds)
    rows = [row_of(name, one, took_s) for name, one in seen.items()]
    held = {"started in s": server.start_s, "first MiB": before, "last MiB": after, "last / first": after / before}
    return {"load": rows, "memory": [held]}


def row_of(name: str, seen: clients.Seen, seconds: float) -> Facts:
    """Return what is told of a kind of request."""
    p50, p90, p99, most = (seen.quantile_ms(share) for share in (0.5, 0.9, 0.99, 1))
    times = {"p50 ms": p50, "p90 ms": p90, "p99 ms": p99, "max ms": most, "p99 / p50": p99 / p50}
    accepted = {"accepted": len(seen.took_ms), "a second": len(seen.took_ms) / seconds}
    refused = {"429": seen.refused[429], "503": seen.refused[503]}
    return {"request": name, **accepted, **times, **refused, "errors": dict(seen.failed)}


# Rates ----------------------------------------------------------------------------------------------------------------


class Offline:
    """What one process judges: a bundle, and files."""

    def __init__(self, bundle: Path, paths: list[Path]) -> None:
        self.bundle, self.paths = bundle, paths

    def __len__(self) -> int:
        return len(self.paths)


def judge_offline(share: Offline) -> tuple[float, float]:
    torch.set_num_threads(1)
    checker = open_checker(str(share.bundle), device="cpu")
    files = [path.read_bytes() for path in share.paths]
    checker.check(files[0])
    start = start_together()
    for first in range(0, len(files), BATCH):
        checker.judge([checker.examine(data) for data in files[first : first + BATCH]])
    return since(start)


def measure_rates(paths: list[Path], demo: Path, work: Path, seconds: float, repeats: int) -> dict[str, Table]:
    found: dict[str, list[float]] = {}
    without = {"data": {"provenance": "false"}}
    spoof = {"replicas": {"min": CORES, "max": CORES, "max_batch": BATCH}}
    with (
        plain(work, demo, free_port()) as other,
        gencv("rates", work, demo, free_port(), spoof=spoof) as ours,
        gencv("haproxy", work, demo, free_port(), HAPROXY, spoof=spoof) as fast,
    ):
        alone_ways: dict[str, tuple[Server, str, Facts]] = {
            "gencv": (ours, "/spoof/v1/check", without),
            "gencv behind HAProxy": (fast, "/spoof/v1/check", without),
            "plain server": (other, "/v1/check", {}),
        }
        ways = alone_ways | {"gencv, provenance too": (ours, "/spoof/v1/check", {})}
        for server, path, more in ways.values():  # so that every copy has loaded its bundle
            rate(server, path, more, paths, min(WARM_S, seconds))
        for _ in range(repeats):
            print(load(), flush=True)
            shares = [Offline(demo / "bundle", paths[core::CORES]) for core in range(CORES)]
            found.setdefault("offline", []).append(in_processes(judge_offline, shares)[0])
            for name, (server, path, more) in ways.items():
                found.setdefault(name, []).append(rate(server, path, more, paths, seconds))
        alone = {name: added_ms(server, path, more, paths) for name, (server, path, more) in alone_ways.items()}
    measure = statistics.median(found["offline"])
    rates = [
        {
            "way": name,
            "pictures a second": statistics.median(values),
            "least": min(values),
            "most": max(values),
            "of offline": statistics.median(values) / measure,
        }
        for name, values in found.items()
    ]
    return {"rates": rates, "added": [{"server": name, **facts} for name, facts in alone.items()]}


def rate(server: Server, path: str, more: Facts, paths: list[Path], seconds: float) -> float:
    """Return accepted requests a second of NUM_RATE_CLIENTS clients."""
    kinds = {"check": clients.check(paths, path=path, **more)}
    began = time.monotonic()
    until = clients.for_seconds(seconds)
    seen = asyncio.run(clients.ask(server.address, kinds, clients=NUM_RATE_CLIENTS, until=until))["check"]
    if seen.failed or seen.refused:
        raise SystemExit(f"{server.address}: {dict(seen.failed)} {dict(seen.refused)}")
    return len(seen.took_ms) / (time.monotonic() - began)


def own_ms(told: Facts) -> float:
    """Return what the detector's steps of a check took."""
    if "model_ms" in told:  # the plain server's answer
        return float(told["model_ms"])
    (result,) = told["results"]
    return sum(ms for steps in result["timing_ms"].values() for ms in steps.values())


def added_ms(server: Server, path: str, more: Facts, paths: list[Path]) -> Facts:
    """Return what serving adds to one client's requests, one after the other."""
    whole, added = [], []
    with httpx2.Client(base_url=server.address, timeout=clients.TIMEOUT_S, trust_env=False) as http:
        for number in range(210):
            data = paths[number % len(paths)].read_bytes()
            began = time.perf_counter()
            answer = http.post(path, files={"image": ("photo.jpg", data)}, **more)
            took_ms = (time.perf_counter() - began) * 1000
            if number >= 10:
                whole.append(took_ms)
                added.append(took_ms - own_ms(answer.raise_for_status().json()))
    times = {"request p50 ms": np.median(whole), "added p50 ms": np.median(added)}
    return {**{name: float(value) for name, value in times.items()}, "added p90 ms": float(np.quantile(added, 0.9))}


# Kills ----------------------------------------------------------------------------------------------------------------

DETECTORS, APIS = ("spoof", "detectors"), ("spoof", "spoof")


@dataclass(frozen=True)
class Asked:
    """Where clients ask, and with which headers."""

    address: str
    headers: dict[str, str]


def measure_kills(paths: list[Path], demo: Path, work: Path) -> dict[str, Table]:
    folder = work / f"kills-{time.time_ns()}"
    shutil.copytree(demo / "index", folder / "index")
    two = {"min": 2, "max": 2, "max_batch": BATCH}
    history = folder / "history.db"
    spoof = {"replicas": two, "api_replicas": 2, "history": {"url": f"sqlite:///{history}"}}
    search = {"index": str(folder / "index"), "writable": True}
    with_keys, headers = keyed("spoof", "search")
    server = gencv("kills", work, demo, free_port(), with_keys, spoof=spoof, search=search)
    with server, front(work, server, free_port()) as before:
        asked = Asked(server.address, headers)
        again = Asked(before.address, headers)
        during(lambda: time.sleep(WARM_S), asked, {"check": clients.check(paths)})
        rows = [
            {"asked": way, "killed": what, **kill_one(server, where, name, copies, paths)}
            for way, where, what, name, copies in (
                ("Serve's proxy", asked, "a copy of the detector", "ServeReplica:spoof:detectors", DETECTORS),
                ("Serve's proxy", asked, "a copy of the API", "ServeReplica:spoof:spoof", APIS),
                ("deploy/haproxy.cfg", again, "a copy of the detector", "ServeReplica:spoof:detectors", DETECTORS),
                ("deploy/haproxy.cfg", again, "a copy of the API", "ServeReplica:spoof:spoof", APIS),
                ("Serve's proxy", asked, "the proxy", "ProxyActor", None),
            )
        ]
        answered = kill_node(server, asked, paths)
    with server:  # once more, on what lies on the disk
        kept = what_is_left(asked, history, folder / "index", answered)
    shutil.rmtree(folder)
    return {"kills": rows, "node": [{"seconds to start again": server.start_s, **kept}]}


def during(
    attack: Callable[[], None],
    asked: Asked,
    kinds: dict[str, clients.Kind],
    on_answer: clients.OnAnswer = clients.nothing,
) -> dict[str, clients.Seen]:
    """Let clients ask until an attack is over; returns what they saw. Raises what it raises."""
    with ThreadPoolExecutor(1) as pool:
        attacking = pool.submit(attack)
        options = {"clients": NUM_KILL_CLIENTS, "until": attacking.done, "on_answer": on_answer}
        seen = asyncio.run(clients.ask(asked.address, kinds, headers=asked.headers, **options))
        attacking.result()
    return seen


def kill_one(server: Server, asked: Asked, name: str, copies: tuple[str, str] | None, paths: list[Path]) -> Facts:
    """Kill a process under load; returns what clients saw, and after how many seconds all was as before."""
    found: Facts = {}

    def attack() -> None:
        time.sleep(BEFORE_KILL_S)
        victim, *_ = server.named(name)
        wanted = len(server.replicas(*copies)) if copies else 1
        kill(victim)
        began = time.monotonic()
        while (took_s := time.monotonic() - began) < BACK_S:
            if is_back(server, copies, victim, wanted):
                found["back in s"] = took_s
                break
            time.sleep(0.1)
        time.sleep(BEFORE_KILL_S)

    seen = during(attack, asked, {"check": clients.check(paths)})["check"]
    failed = seen.failed.total()
    refused = seen.refused.total()
    share = {"requests": seen.count, "failed": failed, "share": failed / seen.count, "refused": refused}
    return {**share, "back in s": found.get("back in s"), "errors": dict(seen.failed)}


def is_back(server: Server, copies: tuple[str, str] | None, victim: psutil.Process, wanted: int) -> bool:
    """Whether a process has a successor that works."""
    try:
        if copies is None:
            return httpx2.get(f"{server.address}/spoof/healthz", timeout=2, trust_env=False).is_success
        states = [state for pid, state in server.replicas(*copies) if pid != victim.pid]
        return states == ["RUNNING"] * wanted
    except (OSError, httpx2.HTTPError):
        return False


def kill_node(server: Server, asked: Asked, paths: list[Path]) -> Facts:
    """Kill all processes while verdicts and pictures come in; returns the ids that were answered."""
    verdicts: list[str] = []
    added: list[str] = []

    def noted(name: str, answer: httpx2.Response) -> None:
        if name == "check":
            (result,) = answer.json()["results"]
            verdicts.extend(one["verdict_id"] for one in result["answers"] if one["verdict_id"])
        else:
            added.extend(one["id"] for one in answer.json()["items"] if one["added"])

    def add(rng: np.random.Generator) -> clients.Wish:
        return "POST", "/search/v1/items", {"files": {"image": clients.drawn(paths, rng)}}

    def attack() -> None:
        time.sleep(2 * BEFORE_KILL_S)
        server.kill_node()

    during(attack, asked, {"check": clients.check(paths), "add": clients.Kind(0.3, add)}, noted)
    return {"verdicts": verdicts, "added": added}


def what_is_left(asked: Asked, history: Path, folder: Path, answered: Facts) -> Facts:
    """Count what was answered before a node died, and is there after it."""
    with closing(sqlite3.connect(history)) as database:
        ((sound,),) = database.execute("PRAGMA integrity_check").fetchall()
        rows = {id.hex() if isinstance(id, bytes) else str(id) for (id,) in database.execute("SELECT id FROM verdicts")}
    held = Index.open(str(folder)).holds(answered["added"])
    shown = [
        httpx2.get(f"{asked.address}/search/v1/items/{id}/thumbnail", headers=asked.headers, timeout=60).is_success
        for id in answered["added"]
    ]
    return {
        "verdicts answered": len(answered["verdicts"]),
        "of them lost": len(set(answered["verdicts"]) - rows),
        "history": sound,
        "pictures answered": len(answered["added"]),
        "of those lost": len(set(answered["added"]) - held),
        "shown again": sum(shown),
    }


# The report -----------------------------------------------------------------------------------------------------------


def table_of(rows: Table) -> str:
    """Return rows as a table of Markdown."""
    names = list(rows[0])
    lines = [names, ["---"] * len(names), *([told(row[name]) for name in names] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def told(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    return "; ".join(f"{count} x {name}" for name, count in value.items()) if isinstance(value, dict) else str(value)


PARTS = ("load", "rates", "kills")


def main() -> None:
    parser = options(__doc__ or "", count=256)
    parser.add_argument("--demo", type=Path, default=Path("runs/demo"), help="what `make serve` makes")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks"), help="folder of serving.json")
    parser.add_argument("--part", choices=PARTS, nargs="+", default=PARTS)
    parser.add_argument("--seconds", type=float, default=120, help="of load; a round of rates takes a quarter")
    chosen = parser.parse_args()
    paths, demo = cut_pictures(chosen.pictures, chosen.work, chosen.count), chosen.demo.resolve()
    found: dict[str, Table] = {}
    for part in chosen.part:
        print(part, load(), flush=True)
        if part == "load":
            tables = measure_load(paths, demo, chosen.work, chosen.seconds)
        elif part == "rates":
            tables = measure_rates(paths, demo, chosen.work, chosen.seconds / 4, chosen.repeats)
        else:
            tables = measure_kills(paths, demo, chosen.work)
        for name, rows in tables.items():
            print(f"\n{name}\n\n{table_of(rows)}\n", flush=True)
        found |= tables
        chosen.out.mkdir(parents=True, exist_ok=True)
        (chosen.out / "serving.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
