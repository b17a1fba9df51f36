"""Device and precision are chosen when asked, and what is not there is refused."""

from __future__ import annotations

import pytest
import torch

from impasto.errors import RecipeError
from impasto.machine import choose_device, choose_dtype, describe, fast_bfloat16

CPU = torch.device("cpu")


def test_the_best_device_is_one_that_can_be_used():
    device = choose_device("auto")
    assert float(torch.ones(2, device=device).sum()) == 2.0
    assert choose_device("cpu") == CPU


@pytest.mark.parametrize("name", ["cuda:99", "tpu", ""])
def test_a_device_that_is_not_there_is_refused(name):
    with pytest.raises(RecipeError, match=r"available are cpu.*leave --device out"):
        choose_device(name)


def test_precision():
    assert choose_dtype("float32", CPU) is torch.float32
    assert choose_dtype("bfloat16", CPU) is torch.bfloat16
    assert (choose_dtype("auto", CPU) is torch.bfloat16) == fast_bfloat16(CPU)


def test_a_run_is_stored_with_the_versions_that_made_it():
    facts = describe(CPU)
    assert facts["device"] == "cpu"
    assert facts["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert facts["threads"] == torch.get_num_threads()
