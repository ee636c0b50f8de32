"""Sealed: a personal or secret value that no log line, error, template or pickle shows by accident."""

from __future__ import annotations

from collections.abc import Collection
from typing import Generic, NoReturn, TypeVar, final

from ruxa.kernel import datamap
from ruxa.kernel.errors import Forbidden

T = TypeVar("T")


@final
class Sealed(Generic[T]):
    """Holds a value of ``T``; only ``open`` gives it, for a purpose. Equality is identity, so sets leak nothing.

    label: whose it is, shown instead of the value; purposes: what it may be opened for (any of the data map's when
    it does not come from a declared column).
    """

    __slots__ = ("__label", "__purposes", "__value")

    def __init__(self, value: T, label: str = "value", purposes: Collection[str] = datamap.PURPOSES) -> None:
        self.__value = value
        self.__label = label
        self.__purposes = purposes

    def open(self, purpose: str) -> T:
        """The value. Raises Forbidden ``purpose_not_declared`` for a purpose the data map does not allow here."""
        if purpose not in self.__purposes:
            raise Forbidden(
                "This data is not kept for that purpose.",
                code="purpose_not_declared",
                detail=f"{self.__label} purpose={purpose}",
            )
        return self.__value

    def __repr__(self) -> str:
        return f"<sealed {self.__label}>"

    __str__ = __repr__

    def __format__(self, spec: str, /) -> str:
        return format(repr(self), spec)

    def __reduce_ex__(self, protocol: object, /) -> NoReturn:
        raise TypeError(f"{self!r} cannot be pickled or copied")
