"""Every program in docs/language.md is run as it stands, and its tables are checked."""

import dataclasses
import json
import re
from pathlib import Path

import grpc
import numpy as np
import pytest
from google.protobuf import text_format

from gradwire.errors import REASONS, Reason
from gradwire.opset import FAMILIES, OPSET_VERSION
from gradwire.tensors import decode_type, encode_tensor, is_complex
from gradwire.v1 import function_pb2
from gradwire.v1 import service_pb2 as pb
from gradwire_server.config.settings import Settings
from gradwire_server.program.limits import ProgramLimits
from serving import detail_of, outputs, serving

GUIDE = (Path(__file__).parents[2] / "docs" / "language.md").read_text()
BLOCK = re.compile(
    r"^```textproto\n(?P<program>.*?)^```\n(?P<between>.*?)^```json\n(?P<expected>.*?)^```",
    re.DOTALL | re.MULTILINE,
)
EXAMPLES = [
    (match["program"], json.loads(match["expected"]), match["between"])
    for match in BLOCK.finditer(GUIDE)
]
SERVER_LIMITS = {
    "max_message_bytes",
    "max_request_items",
    "max_batch_rows",
    "max_batch_sizes",
    "max_call_id_chars",
    "max_device_bytes",
}


@pytest.fixture(scope="module")
def stub(tmp_path_factory):
    """A server of this file's own."""
    with serving(tmp_path_factory.mktemp("server")) as (_, stub):
        yield stub


def as_array(value, wanted):
    """Numbers of JSON as an array; complex ones are pairs."""
    if is_complex(wanted.dtype):
        pairs = np.asarray(value, np.float64)
        return (pairs[..., 0] + 1j * pairs[..., 1]).astype(wanted.dtype)
    return np.asarray(value, wanted.dtype)


def parse(text):
    return text_format.Parse(text, function_pb2.Program())


def name(example):
    return parse(example[0]).functions[0].name or "unnamed"


@pytest.mark.parametrize("example", EXAMPLES, ids=name)
def test_a_program_does_what_the_guide_says(stub, example):
    """It is prepared and computes the outputs, or is refused for the reason, written below it."""
    text, expected, _ = example
    program = parse(text)
    request = pb.PrepareRequest(program=program.SerializeToString(), precision=pb.PRECISION_HIGHEST)
    if "refused" in expected:
        with pytest.raises(grpc.RpcError) as caught:
            stub.Prepare(request)
        detail = detail_of(caught.value)
        assert Reason.Name(detail.reason) == f"ERROR_REASON_{expected['refused']}"
        assert (detail.field, detail.function, detail.node) == tuple(
            expected[key] for key in ("field", "function", "node")
        )
        found = {entry.name: entry.value for entry in detail.metadata}
        assert found == expected.get("metadata", {})
        return
    plan = stub.Prepare(request).plan
    params = [decode_type(p.type, "params") for p in program.functions[program.entry].params]
    arrays = [as_array(v, t) for v, t in zip(expected["inputs"], params, strict=True)]
    inputs = [pb.Input(tensor=encode_tensor(array)) for array in arrays]
    reply = stub.Compute(pb.ComputeRequest(plan_id=plan.id, inputs=inputs))
    for got, value, message in zip(outputs(reply), expected["outputs"], plan.outputs, strict=True):
        wanted = as_array(value, decode_type(message, "outputs"))
        assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape)
        tolerance = 1e-6 if got.dtype == np.float32 else 1e-12
        np.testing.assert_allclose(got, wanted, tolerance, tolerance)
    non_finite = expected.get("non_finite", [0] * len(reply.outputs))
    assert [output.non_finite for output in reply.outputs] == non_finite


def test_every_program_is_tested():
    """Each has its inputs and outputs close below it, and no block is left out."""
    assert len(EXAMPLES) == GUIDE.count("```textproto\n") == GUIDE.count("```json\n")
    assert GUIDE.count("```") == 4 * len(EXAMPLES)
    assert all(len(between) < 100 for _, _, between in EXAMPLES)


def rows(heading):
    """The cells of the table in a section, without its head."""
    section = GUIDE.partition(f"\n{heading}\n")[2]
    table = re.search(r"^\|.*?\n\n", section, re.DOTALL | re.MULTILINE).group()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.split("\n")][
        2:-2
    ]


def test_the_reasons_are_those_that_are_sent():
    """With their statuses, and whether they may be repeated."""
    wanted = []
    for reason, rule in REASONS.items():
        name = Reason.Name(reason).removeprefix("ERROR_REASON_")
        wanted.append([f"`{name}`", rule.status, "yes" if rule.retryable else "no"])
    assert rows("## Errors") == wanted


def test_the_limits_are_the_defaults():
    """Every bound on programs is listed, and those on requests."""
    listed = {cells[0].strip("`"): float(cells[1]) for cells in rows("## Limits")}
    programs = {field.name for field in dataclasses.fields(ProgramLimits)}
    assert set(listed) == programs | SERVER_LIMITS
    limits = Settings().limits()
    assert listed == {name: limits[name] for name in listed}


def test_the_operators_are_those_of_the_opset():
    """The tables of derivative operators and of control ops leave none out."""
    derivatives = {cells[0].strip("`") for cells in rows("## Derivative operators")}
    assert derivatives == {op.name for op in FAMILIES["operator"] if op.sweeps}
    control = {cells[0].strip("`") for cells in rows("## Choices and loops")}
    assert control == {op.name for op in FAMILIES["control"]}


def test_it_describes_this_opset():
    """A new opset needs a new check of the guide."""
    assert f"This page describes opset {OPSET_VERSION}." in GUIDE


def test_links_lead_somewhere():
    """Files exist, and so do headings."""
    anchors = {
        re.sub(r"[^\w\s-]", "", title).strip().lower().replace(" ", "-")
        for title in re.findall(r"^#+ (.*)$", GUIDE, re.MULTILINE)
    }
    folder = Path(__file__).parents[2] / "docs"
    for link in re.findall(r"\]\(([^)]+)\)", GUIDE):
        if link.startswith("#"):
            assert link[1:] in anchors, link
        else:
            assert (folder / link).exists(), link
