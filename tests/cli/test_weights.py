"""``impasto weights``."""

from __future__ import annotations


def test_list(impasto, folder):
    code, out, err = impasto("weights", "list")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert [line.split()[0] for line in lines] == ["compact", "vgg19", "vgg19-original"]
    assert "impasto weights fetch vgg19)" in lines[1]
    assert not (folder / "home").exists()
