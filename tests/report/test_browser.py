"""report.html in a real browser: nothing overflows, on a phone and on a wide screen, and everybody can read it."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from reconnect.report import page, timeline
from reconnect.report.groups import groups
from tests.unit.report.test_page import SEEN, WHOLE

BROWSER = "chromium"
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
AXE = "axe-core@4.10.3"
"""Deque's accessibility checker, from npm: contrast, names, landmarks."""

CHECK = """
<script>%s</script>
<script>
addEventListener('load', () => axe.run(document).then(found => {
  const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  const violations = found.violations.map(v => [v.id, v.nodes.map(n => n.html.slice(0, 90))]);
  const dark = matchMedia('(prefers-color-scheme: dark)').matches;
  const said = {width: innerWidth, wide, dark, violations};
  const place = document.createElement('pre');
  place.id = 'found';
  place.textContent = JSON.stringify(said);
  document.body.appendChild(place);
}));
</script>
"""

FRAME = """<!DOCTYPE html><html lang="en"><title>frame</title>
<iframe id="f" src="report.html" style="width:%dpx;height:900px;border:0"></iframe>
<script>
const look = () => {
  const found = f.contentDocument && f.contentDocument.getElementById('found');
  if (!found) return setTimeout(look, 50);
  const place = document.createElement('pre');
  place.id = 'all';
  place.textContent = found.textContent;
  document.body.appendChild(place);
};
look();
</script></html>"""

pytestmark = [
    pytest.mark.skipif(not shutil.which(BROWSER), reason=f"{BROWSER} is not installed: apt-get install {BROWSER}"),
    pytest.mark.skipif(not shutil.which("npm"), reason="npm is not installed: apt-get install npm"),
]


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """axe-core's program."""
    folder = tmp_path_factory.mktemp("axe")
    subprocess.run(["npm", "pack", "--silent", AXE], cwd=folder, check=True, timeout=120, capture_output=True)
    (archive,) = folder.glob("*.tgz")
    with tarfile.open(archive) as tar:
        program = tar.extractfile("package/axe.min.js")
        assert program is not None
        return program.read().decode()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page with a picture, a table that is wider than a phone, and open details."""
    folder = tmp_path_factory.mktemp("run")
    many = [replace(cell, backend=name) for cell in WHOLE.cells for name in ("testpmd", "ovs", "testpmd:wake=on")]
    run = replace(WHOLE, cells=tuple(many))
    for group in groups(run.cells):
        (folder / group.first.name).mkdir()
        timeline.save(SEEN, folder / group.first.name)
    text = page.write(run, folder, WHOLE).read_text(encoding="utf-8")
    return text.replace("<details>", "<details open>")


def looked_at(folder: Path, axe: str, text: str, width: int, dark: bool) -> dict[str, Any]:
    """What the browser and axe-core say of a page in a window of a width."""
    (folder / "report.html").write_text(text.replace("</body>", f"{CHECK % axe}</body>"), encoding="utf-8")
    # A frame: headless Chromium makes no window below 500 pixels.
    frame = folder / "frame.html"
    frame.write_text(FRAME % width, encoding="utf-8")
    mode = ("--blink-settings=preferredColorScheme=0",) if dark else ("--blink-settings=preferredColorScheme=1",)
    options = ("--allow-file-access-from-files", f"--user-data-dir={folder / 'profile'}", "--dump-dom")
    window = ("--virtual-time-budget=60000", f"--window-size={width + 60},1000")
    done = subprocess.run(
        [BROWSER, *QUIET, *mode, *options, *window, frame.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    _, _, rest = done.stdout.partition('<pre id="all">')
    said: dict[str, Any] = json.loads(unescape(rest.partition("</pre>")[0]))
    return said


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1400])
def test_it_fits_and_can_be_read(tmp_path: Path, axe: str, written: str, width: int, dark: bool) -> None:
    """Steps: open the page at a width, let axe-core look at it.

    Verify: the page is no wider than the window; axe-core objects to nothing, contrast of colours included.
    """
    said = looked_at(tmp_path, axe, written, width, dark)
    assert (said["width"], said["dark"]) == (width, dark)
    assert said["wide"] <= 0
    assert said["violations"] == []


def test_what_it_would_find(tmp_path: Path, axe: str, written: str) -> None:
    """Steps: a page with pale words and a thing that is too wide. Verify: both are found."""
    bad = written.replace("--faint: #6a737d", "--faint: #d0d0d0").replace(
        "<main>", '<main><p style="width:600px">x</p>'
    )
    said = looked_at(tmp_path, axe, bad, 390, dark=False)
    assert said["wide"] > 0
    assert [name for name, _ in said["violations"]] == ["color-contrast"]
