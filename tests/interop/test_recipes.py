"""The recipes that need other packages; tests/test_examples.py runs the rest."""

from __future__ import annotations

import asyncio
import sys

import pytest

import parallelize
from fenced import ROOT, run_script

RECIPES = ROOT / "tests" / "programs" / "recipes"


def test_images_are_resized(tmp_path):
    pytest.importorskip("PIL")
    from PIL import Image

    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    for n in range(3):
        Image.new("RGB", (1000 + n, 500)).save(source / f"{n}.png")
    (source / "broken.png").write_text("no image")
    ended = run_script(
        RECIPES / "resize.py", str(source), str(target), cwd=tmp_path, timeout=50
    )
    lines = ended.stdout.splitlines()
    assert lines[0].startswith("broken.png: UnidentifiedImageError")
    assert lines[1:] == ["3 of 4 images"]
    with Image.open(target / "0.png") as image:
        assert image.size == (800, 400)


def answered(app, path):
    """What an ASGI application answers to a GET."""
    sent = []

    async def receive():
        return {"type": "http.request"}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "headers": []}
    asyncio.run(app({**scope, "query_string": b""}, receive, send))
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)


def test_a_route_of_fastapi_awaits_a_call(monkeypatch):
    pytest.importorskip("fastapi")
    monkeypatch.syspath_prepend(str(RECIPES))
    import api

    try:
        assert answered(api.app, "/reports/2026") == (200, b'"report of 2026"')
    finally:
        sys.modules.pop("api")
        parallelize.shutdown()
