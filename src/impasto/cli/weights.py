"""``impasto weights``: list, fetch and verify the encoders' weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cyclopts import App, Parameter

from impasto.cli.progress import working
from impasto.files import readable_size

if TYPE_CHECKING:
    from impasto.networks.weights import WeightsStatus

__all__ = ["weights_app", "weights_line"]

weights_app = App(
    name="weights",
    help="List, fetch or verify the encoders' weights.",
    default_parameter=Parameter(negative=()),
)


def weights_line(status: WeightsStatus) -> str:
    """One line about an encoder's weights: name, path or how to fetch them, licence."""
    where = str(status.path)
    if status.path is None:
        size = "" if status.bytes is None else f"{readable_size(status.bytes)}, "
        where = f"not here ({size}impasto weights fetch {status.name})"
    return f"{status.name:<16} {where}  [{status.licence}]"


@weights_app.command(name="list")
def list_weights() -> int:
    """List the encoders' weights, and where they are on this machine.

    Examples
    --------
    impasto weights list
    """
    from impasto.networks import weights

    for status in weights.status():
        print(weights_line(status))
    return 0


@weights_app.command
def fetch(name: str, *, force: bool = False) -> int:
    """Download an encoder's weights into the cache.

    Parameters
    ----------
    name
        vgg19 or vgg19-original.
    force
        Download again even if they are there.

    Examples
    --------
    impasto weights fetch vgg19
    """
    from impasto.networks import weights

    with working(f"fetching {name}", quiet=False):
        path = weights.fetch(name, force=force)
    print(path)
    return 0


@weights_app.command
def verify(name: str) -> int:
    """Check a cached file against its checksums.

    Parameters
    ----------
    name
        vgg19 or vgg19-original.

    Examples
    --------
    impasto weights verify vgg19
    """
    from impasto.networks import weights

    print(f"{weights.verify(name)} is intact")
    return 0
