"""The upstream program's own tests, on its patched and its unpatched source, compared test by test.

A suite of a program of ten thousand tests is never all green on a machine that its authors did not have. What counts
is whether a series makes anything worse: so both trees are compiled and tested here, the results are read from what
the harness writes for machines (meson's testlog.json, automake's .trs files, TAP), and only a test that passed
without the patches and does not with them is held against them.

``stacks.toml`` says which tests; :mod:`.harnesses` knows how to find, compile and run them; :mod:`.compare`
judges; :mod:`.report` tells.
"""

from __future__ import annotations

from collections.abc import Sequence

from reconnect.kit.errors import VerdictError
from reconnect.project.config import Component
from reconnect.project.workspace import Workspace
from reconnect.toolchain.upstream import report
from reconnect.toolchain.upstream.run import results_folder, run


def check(workspace: Workspace, components: Sequence[Component], only: str = "") -> None:
    """Test components, print and write what came of each.

    :param only: see :func:`reconnect.toolchain.upstream.run.run`.
    :raises VerdictError: a test is worse with the patches; all components are tested all the same.
    """
    bad = []
    for component in components:
        folder = results_folder(workspace, component)
        tested = run(workspace, component, only)
        report.save(tested, folder)
        report.show(tested, folder)
        bad += [f"{component.name}: {row.name}: {row.why}" for row in tested.bad]
    if bad:
        raise VerdictError(
            f"{len(bad)} upstream tests are worse with the patches than without",
            why="\n".join(bad),
            hint=f"the logs are in {workspace.build / 'upstream'}",
        )
