"""A Ray cluster on this machine: its machines are processes, and can be lost."""

from __future__ import annotations

import inspect
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

MB = 2**20
#: Seconds that a machine has for its start, for which Ray allows 30: others may take all of the processor.
PATIENCE = 300
#: A machine ends itself if its agents, which are Python processes, have not chosen these within 15 seconds.
PORTS = ("dashboard_agent_listen_port", "metrics_agent_port", "metrics_export_port", "runtime_env_agent_port")


class Machines:
    """A cluster of a head, which works on nothing, and machines of one core each."""

    def __init__(self, count: int, port: int | None = None) -> None:
        """
        Args:
            count: of the machines.
            port: of ``ray://127.0.0.1:port``; None: only this process joins.
        """
        from ray.cluster_utils import Cluster

        head: dict[str, Any] = {
            "num_cpus": 0, "include_dashboard": False, "object_store_memory": 80 * MB, "memory": 100 * MB,
        }  # fmt: skip
        if port is not None:
            head["ray_client_server_port"] = port
        self.cluster = Cluster(initialize_head=True, head_node_args=head | _free_ports())
        self.machines = [self.add() for _ in range(count)]
        if port is not None:
            _wait_for(port)

    def add(self) -> Any:
        size = {"num_cpus": 1, "object_store_memory": 80 * MB, "memory": 2000 * MB}
        return self.cluster.add_node(**size, **_free_ports())

    def lose(self) -> None:
        self.cluster.remove_node(self.machines.pop(), allow_graceful=False)

    def lose_where(self, folder: str) -> None:
        """Lose the machine that has a process in a folder of this name."""
        started = {machine.all_processes["raylet"][0].process.pid: machine for machine in self.machines}
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if Path(process.cwd()).name == folder and (machine := started.get(process.ppid())):
                    self.machines.remove(machine)
                    self.cluster.remove_node(machine, allow_graceful=False)
                    return
        raise AssertionError(f"no machine works in {folder}")


def free_port() -> int:
    """A port of this machine at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _free_ports() -> dict[str, int]:
    return {name: free_port() for name in PORTS}


def _wait_longer(patch: pytest.MonkeyPatch) -> None:
    """Have Ray wait longer for a machine that starts; its own limits cannot be set."""
    from ray import _raylet
    from ray._private import services

    find, start = services.get_node, services.start_raylet

    def patient(*arguments: Any) -> Any:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return find(*arguments)
            except RuntimeError:  # it is not there yet
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)

    def told(*arguments: Any, **named: Any) -> Any:
        """The machine is told the ports that it was given but one, for which it waits for a file."""
        given = inspect.signature(start).bind(*arguments, **named).arguments
        _raylet.persist_port(given["session_dir"], given["node_id"], PORTS[0], given[PORTS[0]])
        return start(*arguments, **named)

    patch.setattr(services, "get_node", patient)
    patch.setattr(services, "start_raylet", told)


def _wait_for(port: int) -> None:
    """Until the head takes connections there, which it does some seconds after it has started."""
    end = time.monotonic() + 60.0
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=10.0).close()
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.1)
        else:
            return


@contextmanager
def started_machines(port: int | None = None, *, count: int = 3) -> Iterator[Machines]:
    """The machines; skips the test where Ray is not installed."""
    pytest.importorskip("ray", reason="Ray is not installed")
    with pytest.MonkeyPatch.context() as patch:
        # The processes of the cluster import the pieces of these tests.
        patch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), *sys.path]))
        patch.setenv("RAY_worker_niceness", "0")  # as nice as the tests, so that a busy machine serves them
        patch.setenv("RAY_CLIENT_SERVER_CHECK_CHANNEL_TIMEOUT_S", str(PATIENCE))  # for a client's process
        _wait_longer(patch)
        machines = Machines(count, port)
        try:
            yield machines
        finally:
            machines.cluster.shutdown()


@contextmanager
def connected_machines(count: int = 3) -> Iterator[Machines]:
    """The machines, with this process connected to them."""
    with started_machines(count=count) as machines:
        import ray

        ray.init(address=machines.cluster.address, log_to_driver=False, logging_level="ERROR")
        try:
            yield machines
        finally:
            ray.shutdown()
