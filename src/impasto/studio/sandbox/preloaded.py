"""What the process that decoders are forked from has loaded, so that none of them has to load it again.

Nothing else imports this module. A decoder that loaded Pillow's fifty plugins itself, and for a clip OpenCV,
would take half as long again, or twice as long.
"""

from __future__ import annotations

from contextlib import suppress

import av.subtitles.stream  # noqa: F401 - which PyAV loads when it opens a file
import safetensors.torch  # noqa: F401
import tifffile  # noqa: F401
from PIL import Image

# What is called by name in a decoder comes with all that it needs.
import impasto.studio.sandbox.clips
import impasto.studio.sandbox.exports
import impasto.studio.sandbox.instant_pictures
import impasto.studio.sandbox.samples  # noqa: F401

Image.init()  # loads the plugins
with suppress(ImportError):  # it is not on every machine
    import pillow_heif  # type: ignore[import-not-found,unused-ignore]  # noqa: F401
