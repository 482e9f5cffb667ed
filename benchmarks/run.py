"""Measures gradwire on this machine and prints tables; `make bench` runs it.

    python benchmarks/run.py                 everything
    python benchmarks/run.py small_calls     one part

Times depend on the machine and its other load, so what is to be compared is
measured in turn within one run, and given as ratios.
"""

import argparse
import importlib

PARTS = {
    "small_calls": "one small call on a prepared plan, beside its unavoidable cost",
    "tracing": "one implicit call, which traces again",
    "startup": "from the start of the process to the first derivative",
    "lines": "lines of code",
}


def main() -> None:
    """Runs the parts that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(PARTS))
    names = parser.parse_args().parts or list(PARTS)
    if unknown := set(names) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    for name in names:
        print(f"\n== {PARTS[name]}", flush=True)
        importlib.import_module(name).main()


if __name__ == "__main__":
    main()
