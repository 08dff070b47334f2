"""What holds something that has to be given back, and gives it back at the end of a block."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

__all__ = ["Closing"]


class Closing(ABC):
    """Closed at the end of a ``with`` block, however that ends."""

    @abstractmethod
    def close(self) -> None:
        """Give back what is held. Harmless if done twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.close()
