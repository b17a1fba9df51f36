"""A Ray cluster on this machine: three machines, which are processes, and can be lost."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

MB = 2**20


class Machines:
    """A cluster of a head, which works on nothing, and machines of one core each."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": 80 * MB, "memory": 100 * MB}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.machines = [self.add() for _ in range(3)]

    def add(self) -> Any:
        return self.cluster.add_node(num_cpus=1, object_store_memory=80 * MB, memory=2000 * MB)

    def lose(self) -> None:
        self.cluster.remove_node(self.machines.pop(), allow_graceful=False)


@contextmanager
def connected_machines() -> Iterator[Machines]:
    """The machines, with this process connected to them; skips the test where Ray is not installed."""
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    with pytest.MonkeyPatch.context() as patch:
        # The processes of the cluster import the pieces of these tests.
        patch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), *sys.path]))
        patch.setenv("RAY_worker_niceness", "0")  # as nice as the tests, so that a busy machine serves them
        machines = Machines()
        ray.init(address=machines.cluster.address, log_to_driver=False, logging_level="ERROR")
        yield machines
        ray.shutdown()
        machines.cluster.shutdown()
