"""Rows of the studio's queue for tests."""

from __future__ import annotations

from typing import Any

from impasto.studio.queue.jobs import JobStore, StudioJob, new_job_id


def add_job(store: JobStore, **columns: Any) -> StudioJob:
    """Add a waiting picture job, whose files do not exist."""
    defaults = {
        "id": new_job_id(), "client": "a", "kind": "image", "digest": new_job_id(), "preset": "fast",
        "recipe": "{}", "uploads": '{"styles": [], "masks": 0, "style_masks": 0}', "height": 4, "width": 4,
    }  # fmt: skip
    return store.add(**(defaults | columns))
