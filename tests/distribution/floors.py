"""Prints the lowest version of each core dependency as a pip constraint."""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path(sys.argv[1]).read_text())["project"]
for requirement in project["dependencies"]:
    name, _, floor = requirement.partition(">=")
    if not floor or set(floor) - set("0123456789."):
        sys.exit(f"`dependencies` must hold `name>=floor` alone; got {requirement!r}")
    print(f"{name}=={floor}")
