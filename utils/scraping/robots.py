"""What a robots.txt allows, and how long it wants a robot to wait."""

from __future__ import annotations

import re

from protego import Protego


class Robots:
    """The rules of a host for one robot.

    Args:
        text: the file.
        user_agent: how the robot introduces itself. For ``GANdam/1.0 (a remark)``, rules for
            ``GANdam`` and rules for ``GANdam/1.0`` count, both where there are both.
    """

    def __init__(self, text: str, user_agent: str) -> None:
        self._rules = Protego.parse(text)
        product = user_agent.partition(" ")[0]
        self._names = (re.match(r"[A-Za-z_-]*", product)[0], product)
        delays = [self._rules.crawl_delay(name) for name in self._names]
        self.delay: float | None = max((each for each in delays if each is not None), default=None)
        """Seconds to wait between two requests, or None."""

    def allows(self, address: str) -> bool:
        """Whether an address of this host may be asked for."""
        address = address.encode("utf-8", "replace").decode()  # JSON can hold halves of characters
        return all(self._rules.can_fetch(address, name) for name in self._names)
