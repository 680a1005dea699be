"""What the loader's tests share: a namespace, and a client of each kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fwtrans.backend.loader.real import LibNft
from tests.namespaces import assert_inside, namespace

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def inside() -> Iterator[int]:
    """A network namespace of the test's own, in which its thread is."""
    with namespace() as number:
        yield number


@pytest.fixture
def kernel(inside: int) -> Iterator[LibNft]:
    """libnftables, in a namespace of its own."""
    assert inside
    assert_inside()
    client = LibNft()
    yield client
    client.close()
