"""Where there are no namespaces, what needs them is left out."""

from typing import Final

from tests.network.namespace import obstacle

collect_ignore: Final = ["soak_wire.py"] if obstacle() else []
