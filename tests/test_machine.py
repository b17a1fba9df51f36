"""Device and precision are chosen when asked, and what is not there is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from impasto.errors import RecipeError
from impasto.machine import (
    autocast,
    beside,
    choose_device,
    choose_dtype,
    control_group_headroom,
    describe,
    fast_bfloat16,
    give_back_memory,
    keep_memory,
    large_pages,
    upload,
)

CPU = torch.device("cpu")


def test_the_best_device_is_one_that_can_be_used():
    device = choose_device("auto")
    assert float(torch.ones(2, device=device).sum()) == 2.0
    assert choose_device("cpu") == CPU


@pytest.mark.parametrize("name", ["cuda:99", "tpu", ""])
def test_a_device_that_is_not_there_is_refused(name):
    with pytest.raises(RecipeError, match=r"available are cpu.*leave --device out"):
        choose_device(name)


def test_devices_of_a_kind_help_unless_one_is_asked_for(monkeypatch):
    monkeypatch.setattr(torch.xpu, "is_available", lambda: True)
    monkeypatch.setattr(torch.xpu, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == torch.device("xpu")
    assert choose_device("xpu:2") == torch.device("xpu", 2)
    assert beside(torch.device("xpu")) == (torch.device("xpu", 1), torch.device("xpu", 2))
    assert beside(torch.device("xpu", 1)) == beside(CPU) == ()


def test_what_is_brought_to_a_device_is_the_same_there():
    values = torch.rand(3, 4)
    assert torch.equal(upload(values, CPU), values)
    assert upload(values, torch.device("meta")).device.type == "meta"


def test_precision():
    assert choose_dtype("float32", CPU) is torch.float32
    assert choose_dtype("bfloat16", CPU) is torch.bfloat16
    assert (choose_dtype("auto", CPU) is torch.bfloat16) == fast_bfloat16(CPU)
    with autocast(CPU):
        assert (torch.rand(2, 2) @ torch.rand(2, 2)).dtype is choose_dtype("auto", CPU)


def test_a_run_is_stored_with_the_versions_that_made_it():
    facts = describe(CPU)
    assert facts["device"] == "cpu"
    assert facts["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert facts["threads"] == torch.get_num_threads()


def group(root: Path, path: str, limit: str, used: int, inactive: int = 0) -> None:
    folder = root / path
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {inactive}\n")


def test_the_limit_of_the_services_own_control_group_counts(tmp_path: Path) -> None:
    """systemd's MemoryMax stands at the unit's group, not at the root, where there is no such file."""
    membership = tmp_path / "cgroup"
    membership.write_text("0::/system.slice/impasto-studio.service\n")
    root = tmp_path / "fs"
    assert control_group_headroom(membership, root) == float("inf")
    group(root, "system.slice", "max", 9 * 10**9)
    group(root, "system.slice/impasto-studio.service", str(8 * 10**9), 3 * 10**9, 10**9)
    assert control_group_headroom(membership, root) == 6e9
    group(root, "system.slice", str(10 * 10**9), 9 * 10**9)  # a limit further up may be nearer
    assert control_group_headroom(membership, root) == 1e9
    group(root, "system.slice", str(8 * 10**9), 9 * 10**9)
    assert control_group_headroom(membership, root) == 0.0


def test_control_groups_of_the_first_version_and_none_at_all(tmp_path: Path) -> None:
    membership, folder = tmp_path / "cgroup", tmp_path / "fs" / "memory" / "docker" / "abc"
    membership.write_text("9:name=systemd:/\n4:cpu,memory:/docker/abc\n0::/\n")
    folder.mkdir(parents=True)
    (folder / "memory.limit_in_bytes").write_text("1000\n")
    (folder / "memory.usage_in_bytes").write_text("600\n")
    assert control_group_headroom(membership, tmp_path / "fs") == 400
    assert control_group_headroom(tmp_path / "none", tmp_path / "fs") == float("inf")


@pytest.mark.parametrize(
    ("asked", "setting", "expected"),
    [
        ("1", "always [madvise] never", True),
        ("1", "[always] madvise never", True),
        ("1", "always madvise [never]", False),
        ("1", None, False),
        ("0", "[always] madvise never", False),
    ],
)
def test_large_pages_are_those_that_are_asked_for_and_given(asked, setting, expected, tmp_path, monkeypatch):
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", asked)
    path = tmp_path / "enabled"
    if setting is not None:
        path.write_text(f"{setting}\n")
    assert large_pages(path) == expected


def test_nothing_is_given_back_where_there_is_no_glibc(monkeypatch):
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setattr("ctypes.CDLL", lambda _: pytest.fail("there is no such library"))
    give_back_memory()
    keep_memory()
