"""``python -m ruxa``: the command line, or one child process of the supervisor."""

from __future__ import annotations

import sys


def main() -> int:
    """Dispatch; children skip the command line's imports."""
    if len(sys.argv) == 5 and sys.argv[1] == "child":
        from ruxa.app import child

        return child.main(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    from ruxa import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
