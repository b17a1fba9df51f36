"""`make load`: a studio under many clients at once; what they wait for, who is starved, where the time goes.

    python benchmarks/load.py --minutes 10 --out benchmarks/results [--profile stacks.txt]

Clients upload photographs of 1 to 20 MB as fast as the studio takes them, wait for the painting for a while
and delete it. One person has a fifth of all clients. Others follow jobs, open the page, or are silent. The
studio and its clients share the machine. Writes load.md and load.csv into --out. Nothing here is asserted.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import psutil
from cpu_profile import shares
from load_clients import PHOTOGRAPHS, Load, Person, photograph

from impasto.files import readable_size
from impasto.studio.queue.database import Database
from impasto.studio.queue.people import People, Quotas
from studio import Server
from studio import photograph as small_photograph

ROW_SECONDS = 10
KEPT_STREAMS = 40  # of one watcher, of the 50 that a person may have
PROFILER = Path(__file__).with_name("cpu_profile.py")
#: What the server does → its functions.
GROUPS = {
    "bodies: finding the parts of a form": ("python_multipart", "starlette.formparsers", "tempfile"),
    "bodies: limits, put together": ("impasto.studio.http.limited_body",),
    "HTTP": ("h11", "uvicorn", "impasto.studio.http.protocol"),
    "events: reading and sending": ("impasto.studio.http.job_feed", "fastapi.sse", "sse_starlette"),
    "host, origin, who it is, headers, log": ("impasto.studio.http.guard", "impasto.studio.http.auth"),
    "turns and limits": ("impasto.studio.intake",),
    "queue (SQLite)": ("impasto.studio.queue", "sqlite3"),
    "objects and JSON": ("pydantic", "json", "impasto.studio.http.views", "fastapi.encoders"),
    "routes": ("fastapi", "starlette", "impasto.studio"),
    "threads": ("anyio", "concurrent", "threading", "queue"),
    "event loop": ("asyncio", "selectors"),
    "start": ("importlib", "_frozen", "runpy"),
}


def jain(shares: Iterable[float]) -> float:
    """Jain's fairness index: 1 if all shares are equal, 1/n if one has everything, 0 of nothing."""
    values = np.array(list(shares), float)
    squares = len(values) * (values**2).sum()
    return float(values.sum() ** 2 / squares) if squares else 0.0


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` of all do not exceed; NaN of none."""
    ordered = sorted(values)
    return ordered[max(0, int(np.ceil(share * len(ordered))) - 1)] if ordered else float("nan")


class Processes:
    """Memory, open files and processor time of a studio's processes, once a second.

    Args:
        server: process id.
    """

    def __init__(self, server: int) -> None:
        self.server = psutil.Process(server)
        self.rows: list[dict[str, float]] = []
        self._cpu: dict[int, tuple[str, float]] = {}
        self._own = psutil.Process()
        self._waited: list[float] = []

    def sample(self) -> dict[str, float]:
        """Bytes resident (``rss …``) by kind of process, and ``fds`` of the server."""
        row: Counter[str] = Counter()
        for process in [self._own, self.server, *self.server.children(recursive=True)]:
            try:
                kind = self._kind(process)
                row[f"rss {kind}"] += process.memory_info().rss
                times = process.cpu_times()
                self._cpu[process.pid] = (kind, times.user + times.system)
            except psutil.Error:  # it has ended
                continue
        row["fds"] = self.server.num_fds()
        self._waited.append(_seconds_ready(self.server.pid))
        return dict(row)

    def _kind(self, process: psutil.Process) -> str:
        if process.pid in (self.server.pid, self._own.pid):
            return "server" if process.pid == self.server.pid else "clients"
        command = " ".join(process.cmdline())
        if "impasto.studio.worker" in command:
            return "worker"
        if "forkserver" not in command:
            return "others"
        return "forkserver" if process.ppid() == self.server.pid else "decoders"

    def cpu_seconds(self) -> dict[str, float]:
        """Processor seconds by kind; of those that lived for less than a second only a part is seen."""
        seconds: Counter[str] = Counter()
        for kind, value in self._cpu.values():
            seconds[kind] += value
        return dict(seconds)

    @property
    def seconds_ready(self) -> float:
        """Seconds for which the server's main thread could have run, but had to wait for a processor."""
        return self._waited[-1] - self._waited[0]


def _seconds_ready(process: int) -> float:
    """Since its start; 0 where the kernel does not say."""
    try:
        return int(Path(f"/proc/{process}/schedstat").read_text().split()[1]) / 1e9
    except OSError:
        return 0.0


async def sample_each_second(load: Load, processes: Processes) -> None:
    while True:
        row = processes.sample()
        row |= {"at": time.monotonic() - load.begin, "streams": load.open_streams, "silent": load.silent}
        processes.rows.append(row)
        await asyncio.sleep(1.0)


def add_people(data: Path, count: int, streams: int) -> tuple[list[Person], list[Person]]:
    """People without quotas who paint, and some who only watch; before the studio is started."""
    data.mkdir(parents=True, exist_ok=True)
    from impasto.studio.queue.data_folder import open_data_folder
    from impasto.studio.settings import StudioSettings

    people = People(open_data_folder(StudioSettings(data=data)).database)
    watchers = [f"watcher-{number}" for number in range(1 + streams // KEPT_STREAMS)]
    made = {name: Person(name, people.add(name, Quotas())) for name in [*_names(count), *watchers]}
    return [made[name] for name in _names(count)], [made[name] for name in watchers]


def _names(count: int) -> list[str]:
    return [f"person-{number}" for number in range(count)]


async def keep_jobs(load: Load, data: Path, watchers: list[Person]) -> list[tuple[Person, str]]:
    """A job of each watcher that waits all the time, because its person has painted enough today."""
    kept, people = [], People(Database(data / "studio.db"))
    picture = small_photograph(64, 64)
    for watcher in watchers:
        state = ""
        while state != "queued":  # the worker may have been faster
            # Accepted while there is no quota, and held from when there is one.
            people.set_quotas(watcher.name, Quotas())
            status, answer, _ = await load.post(watcher, picture, {})
            assert status == 202, answer
            people.set_quotas(watcher.name, Quotas(daily_seconds=0.0))
            address = f"{load.address}/v1/jobs/{answer['id']}"
            async with load.session.get(address, headers=watcher.headers) as response:
                state = (await response.json())["state"]
        kept.append((watcher, str(answer["id"])))
    return kept


def share_out(people: list[Person], clients: int) -> list[Person]:
    """Whose client each is: a fifth of all are the first person's, the others' numbers are equal."""
    greedy = max(1, clients // 5)
    others = people[1:] or people
    return people[:1] * greedy + [others[number % len(others)] for number in range(clients - greedy)]


async def put_under_load(
    options: argparse.Namespace, server: Server, files: list[bytes], data: Path, people: list[Person],
    watchers: list[Person], processes: Processes,
) -> Load:  # fmt: skip
    """Prepare the studio, then have all clients act at once."""
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=timeout, read_bufsize=1 << 20
    ) as session:
        load = Load(str(server.http.base_url).rstrip("/"), session, files, options.patience)
        await load.warm_up(people[0])
        kept, paths = await keep_jobs(load, data, watchers), await load.page_files()
        chances = (random.Random(number) for number in range(1 << 30))
        acts = [load.paint(person, next(chances)) for person in share_out(people, options.clients)]
        acts += [load.watch(people, kept, options.streams, next(chances)) for _ in range(options.streams)]
        acts += [load.be_silent(number) for number in range(options.silent)]
        acts += [load.look(people[-1 - number], paths, 0.2) for number in range(min(4, len(people)))]
        acts.append(sample_each_second(load, processes))
        await load.run(acts, 60.0 * options.minutes)
    return load


def figures(load: Load, people: list[Person], processes: Processes, seconds: float) -> dict[str, str]:
    """Rows of the table."""

    def of(kind: str, value: Callable[[Any], float] = lambda record: record.seconds) -> list[float]:
        return [value(record) for record in load.records if record.kind == kind]

    page, jobs, accepted, waited = of("page"), of("job"), of("accept"), of("accept", lambda r: r.waited)
    refused = Counter(record.status for record in load.records if record.kind == "refuse")
    painted, rows = [person.painted for person in people], processes.rows[1:] or processes.rows
    moments = [rows[0], rows[len(rows) // 2], rows[-1]]
    cpu = processes.cpu_seconds()
    table = {
        "page, ms: p50, p99, longest": _milliseconds(page),
        "list of jobs, ms: p50, p99, longest": _milliseconds(jobs),
        "accepted: number, a second": f"{len(accepted)}, {len(accepted) / seconds:.2f}",
        "upload to answer, s: p50, p99, longest": _seconds(accepted),
        "the same from the first attempt, refusals included": _seconds(waited),
        "refused: status × number": ", ".join(f"{s} × {n}" for s, n in sorted(refused.items())) or "none",
        "refusal, ms: p50, p99, longest": _milliseconds(of("refuse")),
        "broken connections, uploads": str(len(of("broken"))),
        "painted: number, a second": f"{sum(painted)}, {sum(painted) / seconds:.2f}",
        "accepted of a person: fewest, median, most, the greedy one": _shares([p.accepted for p in people]),
        "painted of a person: fewest, median, most, the greedy one": _shares(painted),
        "Jain's index over people, accepted": f"{jain(person.accepted for person in people):.3f}",
        "Jain's index over people, painted": f"{jain(painted):.3f}",
        "event streams open: fewest, mean": _fewest([row["streams"] for row in rows]),
        "events sent, a second": f"{load.events / seconds:.0f}",
        "silent connections: fewest, mean": _fewest([row["silent"] for row in rows]),
        "open files of the server: start, middle, end": ", ".join(f"{m['fds']:.0f}" for m in moments),
    }
    for kind in ("server", "forkserver", "worker"):
        values = ", ".join(f"{row.get(f'rss {kind}', 0) / 1e6:.0f}" for row in moments)
        table[f"resident MB, {kind}: start, middle, end"] = values
    table["resident MB, decoders: most at once"] = (
        f"{max(row.get('rss decoders', 0) for row in rows) / 1e6:.0f}"
    )
    table["processor seconds a second"] = ", ".join(
        f"{kind} {value / seconds:.2f}" for kind, value in sorted(cpu.items(), key=lambda item: -item[1])
    )
    table["the server waited for a processor"] = (
        f"{100 * processes.seconds_ready / seconds:.0f} % of the time"
    )
    table["load of the machine at the end"] = f"{os.getloadavg()[0]:.0f}"
    table["errors"] = ", ".join(f"{name} × {n}" for name, n in load.errors.most_common() if n) or "none"
    return table


def _milliseconds(seconds: list[float]) -> str:
    return ", ".join(f"{1000 * quantile(seconds, share):.0f}" for share in (0.5, 0.99, 1.0))


def _seconds(seconds: list[float]) -> str:
    return ", ".join(f"{quantile(seconds, share):.2f}" for share in (0.5, 0.99, 1.0))


def _shares(counts: list[int]) -> str:
    ordered = sorted(counts)
    return f"{ordered[0]}, {ordered[len(ordered) // 2]}, {ordered[-1]}, {counts[0]}"


def _fewest(counts: list[float]) -> str:
    return f"{min(counts):.0f}, {np.mean(counts):.0f}"


def timeline(load: Load, processes: Processes) -> list[dict[str, float]]:
    """A row for each ten seconds."""
    rows = []
    last = max((row["at"] for row in processes.rows), default=0.0)
    for begin in range(0, int(last) + 1, ROW_SECONDS):
        inside = [record for record in load.records if begin <= record.at < begin + ROW_SECONDS]
        samples = [row for row in processes.rows if begin <= row["at"] < begin + ROW_SECONDS]
        page = [record.seconds for record in inside if record.kind == "page"]
        accepted = [record.seconds for record in inside if record.kind == "accept"]
        row = {
            "seconds": begin,
            "page p50 ms": round(1000 * quantile(page, 0.5), 1),
            "page longest ms": round(1000 * max(page, default=0.0)),
            "accepted": len(accepted),
            "accept p50 s": round(quantile(accepted, 0.5), 2),
            "accept longest s": round(max(accepted, default=0.0), 2),
            "refused": sum(record.kind == "refuse" for record in inside),
        }  # fmt: skip
        for name in ("rss server", "rss worker", "rss decoders"):
            row[f"{name} MB"] = round(max((s.get(name, 0) for s in samples), default=0) / 1e6)
        for name in ("fds", "streams", "silent"):
            row[name] = round(max((s[name] for s in samples), default=0))
        rows.append(row)
    return rows


def upload(settings: tuple[int, int, float, int], cache: Path | None) -> bytes:
    """A photograph, from the cache if it is there."""
    path = None if cache is None else cache / f"{'-'.join(map(str, settings))}.jpg"
    if path is None or not path.exists():
        data = photograph(*settings)
        if path is None:
            return data
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return path.read_bytes()


def where_time_goes(stacks: str) -> str:
    """A table of the processor time of the server's main thread, in which all requests are answered."""
    rows = shares(stacks, GROUPS).items()
    return "\n".join(["| the server's processor time | share |", "|---|---|",
                      *(f"| {group} | {100 * share:.0f} % |" for group, share in rows)])  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> dict[str, str]:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--clients", type=int, default=200, help="that upload")
    parser.add_argument("--people", type=int, default=40, help="to whom they belong")
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--silent", type=int, default=200, help="connections that say nothing")
    parser.add_argument(
        "--files", type=int, default=len(PHOTOGRAPHS), help="of how many sizes, smallest first"
    )
    parser.add_argument(
        "--patience", type=float, default=20.0, help="seconds until a job is deleted unpainted"
    )
    parser.add_argument("--cache", type=Path, help="folder that keeps what is made once: uploads, samples")
    parser.add_argument("--flags", default="", help="further flags of the studio")
    parser.add_argument("--profile", type=Path, help="file for stacks of the server's main thread")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    files = [upload(settings, options.cache) for settings in PHOTOGRAPHS[: options.files]]
    print("uploads of", ", ".join(readable_size(len(file)) for file in files), flush=True)
    for path in (options.out, options.profile and options.profile.parent):
        if path is not None:
            path.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "data"
        if options.cache:
            data.mkdir()
            (options.cache / "samples").mkdir(parents=True, exist_ok=True)
            (data / "samples").symlink_to((options.cache / "samples").absolute())
        people, watchers = add_people(data, options.people, options.streams)
        runner = [str(PROFILER), str(options.profile)] if options.profile else ["-m"]
        server = Server(data, *options.flags.split(), runner=runner)
        try:
            processes = Processes(server.process.pid)
            load = asyncio.run(put_under_load(options, server, files, data, people, watchers, processes))
        finally:
            server.process.terminate()
            server.process.wait(60)
    table = figures(load, people, processes, 60.0 * options.minutes)
    text = "\n".join(["| what | figure |", "|---|---|", *(f"| {k} | {v} |" for k, v in table.items())])
    if options.profile:
        text += "\n\n" + where_time_goes(options.profile.read_text(encoding="utf-8"))
    print(text)
    if options.out is not None:
        (options.out / "load.md").write_text(text + "\n", encoding="utf-8")
        with (options.out / "load.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list((rows := timeline(load, processes))[0]))
            writer.writeheader()
            writer.writerows(rows)
    return table


if __name__ == "__main__":
    main()
