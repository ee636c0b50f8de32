"""Served files: the room's own under ``static/`` and those copied from npm into ``static/vendor/``, named by content.

``python -m ruxa.console.assets NODE_MODULES`` copies what pages load out of an installed ``node_modules`` and writes
``static/vendor/manifest.json`` with a SHA-256 of each file; a released wheel carries the result. At start ``Shelf``
reads everything into memory, so a page names a file by its hash and a browser may keep it for a year.
"""

from __future__ import annotations

import gzip
import hashlib
import shutil
import sys
from pathlib import Path

import msgspec

HERE = Path(__file__).parent
STATIC = HERE / "static"
VENDOR = STATIC / "vendor"

# served name -> path inside node_modules
FROM_NPM: dict[str, str] = {
    "htmx.min.js": "htmx.org/dist/htmx.min.js",
    "uPlot.iife.min.js": "uplot/dist/uPlot.iife.min.js",
    # Not served: invoices are printed with them.
    "DejaVuSans.ttf": "dejavu-fonts-ttf/ttf/DejaVuSans.ttf",
    "DejaVuSans-Bold.ttf": "dejavu-fonts-ttf/ttf/DejaVuSans-Bold.ttf",
}

TYPES: dict[str, str] = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}


class Asset(msgspec.Struct, frozen=True):
    """One served file: its bytes, the same gzipped, its type and its versioned address."""

    name: str
    body: bytes
    gzipped: bytes
    media_type: str
    digest: str

    @property
    def url(self) -> str:
        """The address a page uses: it changes when the content does."""
        return f"/static/{self.digest}/{self.name}"


class Shelf:
    """Every served file by name. Raises FileNotFoundError at start when the npm files were never copied."""

    def __init__(self, static: Path = STATIC, pages: Path = HERE / "pages") -> None:
        self._assets: dict[str, Asset] = {}
        missing = [name for name in FROM_NPM if not (static / "vendor" / name).is_file()]
        if missing:
            raise FileNotFoundError(f"console assets missing: {', '.join(missing)}; python -m ruxa.console.assets DIR")
        for path in sorted(static.rglob("*")):
            if path.suffix in TYPES:
                self._put(path.relative_to(static).as_posix(), path)
        for path in sorted(pages.glob("*/page.js")):
            self._put(f"pages/{path.parent.name}.js", path)

    def _put(self, name: str, path: Path) -> None:
        body = path.read_bytes()
        self._assets[name] = Asset(
            name=name,
            body=body,
            gzipped=gzip.compress(body, 9, mtime=0),
            media_type=TYPES[path.suffix],
            digest=hashlib.sha256(body).hexdigest()[:16],
        )

    def url(self, name: str) -> str:
        """The versioned address of ``name``; an unknown name is a programmer's error."""
        return self._assets[name].url

    def find(self, digest: str, name: str) -> Asset | None:
        """The file at ``/static/{digest}/{name}``, if it is the one we serve now."""
        asset = self._assets.get(name)
        return asset if asset is not None and asset.digest == digest else None

    def has(self, name: str) -> bool:
        """Whether a file of that name is served."""
        return name in self._assets


def copy(node_modules: Path, vendor: Path = VENDOR) -> dict[str, str]:
    """Copies the served npm files and writes the manifest; returns name -> SHA-256 (hex)."""
    vendor.mkdir(parents=True, exist_ok=True)
    manifest: dict[str, str] = {}
    for name, source in FROM_NPM.items():
        shutil.copyfile(node_modules / source, vendor / name)
        manifest[name] = hashlib.sha256((vendor / name).read_bytes()).hexdigest()
    (vendor / "manifest.json").write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
    return manifest


if __name__ == "__main__":
    copy(Path(sys.argv[1]))
