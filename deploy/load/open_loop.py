"""Finds what a gradwire server carries: an open loop of calls at given rates, up to 5 × the knee.

    python deploy/load/open_loop.py                        a server of its own, on loopback
    python deploy/load/open_loop.py --target host:8701     one that runs
    python deploy/load/open_loop.py --out folder           writes knee.json, .csv and .png

Calls arrive as from independent callers (Poisson), each at a time drawn beforehand
and with a deadline; latency counts from that time. Every
answer is compared with a closed form. Ends with 1 if a value is wrong, with 3 if
goodput at 5 × the knee is under --min-goodput of its peak.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from loadtest import machine
from loadtest.generators import Generators
from loadtest.knee import DEFINITION, find_knee
from loadtest.mix import MIXES
from loadtest.own_server import OwnServer, served_calls
from loadtest.points import Point
from loadtest.report import Measurement, print_head, print_point
from loadtest.target import Target
from loadtest.templates import WrongAnswerError, make_templates
from loadtest.worker import Setup

FACTORS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0)
"""What is offered once the knee is known, in knees."""


def main() -> int:
    """Runs the load test; returns the exit code."""
    options = _parse()
    with contextlib.ExitStack() as stack:
        server_cores, cores = machine.split_cores(machine.available_cores())
        if options.target is None:
            own = stack.enter_context(OwnServer(server_cores, options.server_flag))
            options.target, options.metrics = own.address, own.metrics_url
            where = _sharing(server_cores, cores)
        else:
            cores = machine.available_cores()
            where = f"server at {options.target}, generators on {len(cores)} cores here"
        count = partial(served_calls, options.metrics) if options.metrics else lambda: None
        target = Target(
            options.target,
            options.tls_ca,
            options.client_cert,
            options.client_key,
            options.token_file,
        )
        processes = options.processes or len(cores)
        try:
            templates = make_templates(MIXES[options.mix](), target)
        except WrongAnswerError as error:
            print(f"WRONG: {error}")
            return 1
        setups = [
            Setup(target, templates, options.connections, options.deadline, cores, number)
            for number in range(processes)
        ]
        measurement = Measurement(
            machine.describe_machine(),
            {"where": where, "processes": processes, "definition": DEFINITION, **_plain(options)},
        )
        print(f"{measurement.caption()}\nload average before: "
              f"{measurement.machine['load_average_before']}; {DEFINITION}\n")  # fmt: skip
        generators = stack.enter_context(Generators(setups, count))
        return _measure(options, measurement, generators)


def _measure(options: argparse.Namespace, measurement: Measurement, generators: Generators) -> int:
    """Takes the points, prints them, and judges."""

    def offer(rate: float, client: str = "bare", seconds: float = options.seconds) -> Point:
        point = generators.offer(rate, seconds, options.settle, client)
        measurement.points.append(point)
        print_point(point)
        if point.wrong:
            print(f"WRONG: {point.wrong} answers had wrong values")
            raise SystemExit(1)
        time.sleep(options.rest)
        return point

    print_head()
    if options.rates:
        for rate in options.rates:
            for client in options.clients:
                offer(rate, client)
    else:
        _search(options, measurement, offer)
    if options.out:
        from loadtest.plot import draw  # matplotlib takes a second

        measurement.write(options.out)
        draw(measurement, options.out / "knee.png")
        print(f"\nwritten: {options.out}/knee.json, knee.csv, knee.png")
    print("\nevery answer had the right values")
    return 0 if options.rates else _judge(options, measurement)


def _search(
    options: argparse.Namespace, measurement: Measurement, offer: Callable[..., Point]
) -> None:
    measurement.knee = find_knee(offer, options.start, options.halvings)
    measurement.searched = len(measurement.points)
    knee = measurement.knee
    limits = " (the generator was at its end)" if knee.limited else ""
    print(f"\nknee: {knee.rate:.0f} calls/s{limits}\n")
    if not knee.rate:
        return
    print_head()
    for factor in FACTORS:
        seconds = options.seconds * (2 if factor == FACTORS[-1] else 1)
        for client in options.clients:
            if client == "bare" or factor >= 1.5:  # below, hardly any call is retried
                offer(factor * knee.rate, client, seconds)


def _judge(options: argparse.Namespace, measurement: Measurement) -> int:
    """Compares goodput past the knee with its peak."""
    if measurement.knee is None or not measurement.knee.rate:
        print("no rate was carried, not even the first: see --start")
        return 3
    code = 0
    for client in options.clients:
        point = measurement.past_the_knee(client)
        if point is None:
            continue
        share = point.goodput / measurement.peak
        times = point.offered / measurement.knee.rate
        verdict = "" if point.valid else " (invalid: the generator lagged)"
        print(f"{client}: goodput at {times:.1f} x the knee is {share:.0%} of the peak{verdict}")
        if not point.valid or share < options.min_goodput:
            code = 3
    return code


def _sharing(server: frozenset[int], generators: frozenset[int]) -> str:
    if server == generators:
        return f"server and generators share {len(server)} core(s) of one machine"
    return (
        f"server on {len(server)} core(s), generators on {len(generators)} other(s) "
        "of the same machine"
    )


def _plain(options: argparse.Namespace) -> dict[str, object]:
    names = ("mix", "deadline", "seconds", "settle", "connections", "server_flag")
    return {name: getattr(options, name) for name in names}


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--target", metavar="HOST:PORT", help="a server that runs; else one is started")
    add(
        "--metrics",
        metavar="URL",
        help="its page http://HOST:PORT/metrics, to see what it computes in vain",
    )
    add("--tls-ca", metavar="FILE", help="the authority that its certificate must be from")
    add("--client-cert", metavar="FILE", help="the caller's certificate, for mutual TLS")
    add("--client-key", metavar="FILE", help="the key of that certificate")
    add("--token-file", metavar="FILE", help="the caller's token")
    add("--mix", choices=sorted(MIXES), default="mixed", help="what is called")
    add("--deadline", type=float, default=1.0, help="seconds in which an answer is of use")
    add("--rates", type=_rates, default=(), metavar="R,R,...", help="offers these rates only")
    add("--clients", type=_names, default=("bare", "gradwire"), metavar="C,C",
        help="bare: never retries; gradwire: retries as the client does")  # fmt: skip
    add("--start", type=float, default=40.0, help="the first rate of the search")
    add("--halvings", type=int, default=4, help="how finely the knee is searched for")
    add("--seconds", type=float, default=4.0, help="how long each rate is offered and counted")
    add("--settle", type=float, default=1.0, help="seconds before, which don't count")
    add("--rest", type=float, default=0.3, help="seconds of rest between two rates")
    add("--connections", type=int, default=8, help="connections of each generator")
    add("--processes", type=int, default=0, help="generators; 0 for one on each of their cores")
    add("--server-flag", action="append", default=[], metavar="FLAG",
        help="a flag for the server that is started; = instead of a space")  # fmt: skip
    add("--min-goodput", type=float, default=0.7, help="at 5 x the knee, of the peak")
    add("--out", type=Path, metavar="FOLDER", help="writes JSON, CSV and a picture there")
    return parser.parse_args()


def _rates(text: str) -> tuple[float, ...]:
    return tuple(float(rate) for rate in text.split(","))


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


if __name__ == "__main__":
    sys.exit(main())
