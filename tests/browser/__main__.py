"""Run the browser tests: ``python -m tests.browser [OPTIONS OF PLAYWRIGHT]``.

``python -m tests.browser build`` installs what they need; ``python -m tests.browser pictures``
takes the documentation's pictures instead.

They get a cluster, a JupyterLab as galata wants it (no token), and one as users have it (token and
XSRF check). The cluster is the local one, or that of JUPYTER_KUBE_TEST_KUBECONFIG with pods from
JUPYTER_KUBE_TEST_IMAGE.
"""

from __future__ import annotations

import asyncio
import sys

from tests.browser.setting import Unprepared, build, check, run


def main() -> int:
    """Do what the command line says; return the exit code, Playwright's if it ran."""
    try:
        if sys.argv[1:] == ["build"]:
            build()
            return 0
        check()
        if sys.argv[1:2] == ["pictures"]:
            from tests.browser import pictures  # needs Pillow, the tests do not

            return asyncio.run(pictures.take(sys.argv[2:]))
        return asyncio.run(run(sys.argv[1:]))
    except Unprepared as error:
        print(f"The browser tests cannot run. {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
