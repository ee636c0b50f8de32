"""What a first start that failed left on this machine, and taking it back: the next one finds the place as this did.

Only what was not there before, only while the data directory is ours, and never once a database knows the instance:
from then on its keys are needed.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from uuid import UUID

_DIRECTORIES = ("run", "journal", "postgres")
_FILES = ("instance.json", "demo.json.waiting", "lock")


class Footprint:
    """Taken before anything is made. owned: the data directory's lock is ours and it held no instance."""

    def __init__(self, data: Path, keys: Path) -> None:
        self._data = data
        self._keys = keys
        self._instances = {path.name for path in keys.iterdir()} if keys.is_dir() else set[str]()
        self._fresh = [data / name for name in (*_DIRECTORIES, *_FILES) if not _is_there(data / name)]
        # The deepest first, so that each is empty when its turn comes.
        self._made = [place for root in (data, keys) for place in (root, *root.parents) if not place.exists()]
        self.owned = False
        self.instance: UUID | None = None
        self._kept = False

    def keep(self) -> None:
        """The database knows the instance: nothing is taken back any more."""
        self._kept = True

    def take_back(self) -> None:
        """Remove what was made since; PostgreSQL's log stays, because the error may have named it."""
        if self._kept:
            return
        with contextlib.suppress(OSError):
            if self.owned:
                for path in self._fresh:
                    _remove(path)
                if self.instance is not None and self.instance.hex not in self._instances:
                    shutil.rmtree(self._keys / self.instance.hex, ignore_errors=True)
            else:
                # Somebody else may be at work here: only what is empty goes.
                for name in ("run", "journal"):
                    if self._data / name in self._fresh and self._data in self._made:
                        with contextlib.suppress(OSError):
                            (self._data / name).rmdir()
        for place in self._made:
            with contextlib.suppress(OSError):
                place.rmdir()


def _is_there(path: Path) -> bool:
    return path.is_symlink() or path.exists()


def _remove(path: Path) -> None:
    if path.is_symlink():
        # A cluster that lies where another user can reach it.
        shutil.rmtree(path.resolve(), ignore_errors=True)
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
    elif path.name == "run":
        for inside in path.iterdir():
            if inside.is_dir() and not inside.is_symlink():
                shutil.rmtree(inside, ignore_errors=True)
            elif not (inside.name.startswith("postgres.log") and inside.stat().st_size):
                inside.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            path.rmdir()
    else:
        shutil.rmtree(path, ignore_errors=True)
