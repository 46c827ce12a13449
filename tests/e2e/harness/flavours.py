# SPDX-License-Identifier: Apache-2.0
"""Marks that run a test once for each of several flavours of uvicorn. Tests of one module share the server."""

import pytest

from harness.server import FASTEST, FLAVOURS, USUAL, ZTTP, Flavour


def over(flavours: list[Flavour]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("shared_server", flavours, indirect=True, ids=str)


every_flavour = over([*FLAVOURS, ZTTP])
fastest_flavours = over(FASTEST)
usual_flavour = over([USUAL])
