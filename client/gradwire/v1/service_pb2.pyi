import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from gradwire.v1 import tensor_pb2 as _tensor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Precision(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRECISION_UNSPECIFIED: _ClassVar[Precision]
    PRECISION_FAST: _ClassVar[Precision]
    PRECISION_HIGH: _ClassVar[Precision]
    PRECISION_HIGHEST: _ClassVar[Precision]
PRECISION_UNSPECIFIED: Precision
PRECISION_FAST: Precision
PRECISION_HIGH: Precision
PRECISION_HIGHEST: Precision

class CallContext(_message.Message):
    __slots__ = ("call_id", "attempt", "client_version")
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    CLIENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    call_id: str
    attempt: int
    client_version: str
    def __init__(self, call_id: _Optional[str] = ..., attempt: _Optional[int] = ..., client_version: _Optional[str] = ...) -> None: ...

class PrepareRequest(_message.Message):
    __slots__ = ("context", "program", "precision", "batch_sizes", "max_wait")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZES_FIELD_NUMBER: _ClassVar[int]
    MAX_WAIT_FIELD_NUMBER: _ClassVar[int]
    context: CallContext
    program: bytes
    precision: Precision
    batch_sizes: _containers.RepeatedScalarFieldContainer[int]
    max_wait: _duration_pb2.Duration
    def __init__(self, context: _Optional[_Union[CallContext, _Mapping]] = ..., program: _Optional[bytes] = ..., precision: _Optional[_Union[Precision, str]] = ..., batch_sizes: _Optional[_Iterable[int]] = ..., max_wait: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class PrepareResponse(_message.Message):
    __slots__ = ("plan", "poll_after", "replica_id")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    POLL_AFTER_FIELD_NUMBER: _ClassVar[int]
    REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    plan: Plan
    poll_after: _duration_pb2.Duration
    replica_id: str
    def __init__(self, plan: _Optional[_Union[Plan, _Mapping]] = ..., poll_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., replica_id: _Optional[str] = ...) -> None: ...

class Plan(_message.Message):
    __slots__ = ("id", "outputs", "choices", "peak_bytes", "flops", "cached", "compile_time")
    ID_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    CHOICES_FIELD_NUMBER: _ClassVar[int]
    PEAK_BYTES_FIELD_NUMBER: _ClassVar[int]
    FLOPS_FIELD_NUMBER: _ClassVar[int]
    CACHED_FIELD_NUMBER: _ClassVar[int]
    COMPILE_TIME_FIELD_NUMBER: _ClassVar[int]
    id: str
    outputs: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.TensorType]
    choices: _containers.RepeatedCompositeFieldContainer[Choice]
    peak_bytes: int
    flops: float
    cached: bool
    compile_time: _duration_pb2.Duration
    def __init__(self, id: _Optional[str] = ..., outputs: _Optional[_Iterable[_Union[_tensor_pb2.TensorType, _Mapping]]] = ..., choices: _Optional[_Iterable[_Union[Choice, _Mapping]]] = ..., peak_bytes: _Optional[int] = ..., flops: _Optional[float] = ..., cached: bool = ..., compile_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Choice(_message.Message):
    __slots__ = ("function", "node", "name", "value")
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    function: int
    node: int
    name: str
    value: str
    def __init__(self, function: _Optional[int] = ..., node: _Optional[int] = ..., name: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class ComputeRequest(_message.Message):
    __slots__ = ("context", "plan_id", "inline", "inputs")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    PLAN_ID_FIELD_NUMBER: _ClassVar[int]
    INLINE_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    context: CallContext
    plan_id: str
    inline: PrepareRequest
    inputs: _containers.RepeatedCompositeFieldContainer[Input]
    def __init__(self, context: _Optional[_Union[CallContext, _Mapping]] = ..., plan_id: _Optional[str] = ..., inline: _Optional[_Union[PrepareRequest, _Mapping]] = ..., inputs: _Optional[_Iterable[_Union[Input, _Mapping]]] = ...) -> None: ...

class Input(_message.Message):
    __slots__ = ("tensor",)
    TENSOR_FIELD_NUMBER: _ClassVar[int]
    tensor: _tensor_pb2.Tensor
    def __init__(self, tensor: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ...) -> None: ...

class ComputeResponse(_message.Message):
    __slots__ = ("outputs", "timing", "replica_id", "plan_id")
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    PLAN_ID_FIELD_NUMBER: _ClassVar[int]
    outputs: _containers.RepeatedCompositeFieldContainer[Output]
    timing: Timing
    replica_id: str
    plan_id: str
    def __init__(self, outputs: _Optional[_Iterable[_Union[Output, _Mapping]]] = ..., timing: _Optional[_Union[Timing, _Mapping]] = ..., replica_id: _Optional[str] = ..., plan_id: _Optional[str] = ...) -> None: ...

class Output(_message.Message):
    __slots__ = ("tensor", "non_finite")
    TENSOR_FIELD_NUMBER: _ClassVar[int]
    NON_FINITE_FIELD_NUMBER: _ClassVar[int]
    tensor: _tensor_pb2.Tensor
    non_finite: int
    def __init__(self, tensor: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., non_finite: _Optional[int] = ...) -> None: ...

class Timing(_message.Message):
    __slots__ = ("queue_seconds", "validate_seconds", "compile_seconds", "execute_seconds", "serialise_seconds")
    QUEUE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    COMPILE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    EXECUTE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SERIALISE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    queue_seconds: float
    validate_seconds: float
    compile_seconds: float
    execute_seconds: float
    serialise_seconds: float
    def __init__(self, queue_seconds: _Optional[float] = ..., validate_seconds: _Optional[float] = ..., compile_seconds: _Optional[float] = ..., execute_seconds: _Optional[float] = ..., serialise_seconds: _Optional[float] = ...) -> None: ...

class GetServerInfoRequest(_message.Message):
    __slots__ = ("context",)
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    context: CallContext
    def __init__(self, context: _Optional[_Union[CallContext, _Mapping]] = ...) -> None: ...

class GetServerInfoResponse(_message.Message):
    __slots__ = ("server_version", "replica_id", "opsets", "ops", "features", "limits", "devices", "libraries")
    SERVER_VERSION_FIELD_NUMBER: _ClassVar[int]
    REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    OPSETS_FIELD_NUMBER: _ClassVar[int]
    OPS_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    LIBRARIES_FIELD_NUMBER: _ClassVar[int]
    server_version: str
    replica_id: str
    opsets: _containers.RepeatedScalarFieldContainer[int]
    ops: _containers.RepeatedScalarFieldContainer[str]
    features: _containers.RepeatedScalarFieldContainer[str]
    limits: _containers.RepeatedCompositeFieldContainer[Limit]
    devices: _containers.RepeatedCompositeFieldContainer[Device]
    libraries: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, server_version: _Optional[str] = ..., replica_id: _Optional[str] = ..., opsets: _Optional[_Iterable[int]] = ..., ops: _Optional[_Iterable[str]] = ..., features: _Optional[_Iterable[str]] = ..., limits: _Optional[_Iterable[_Union[Limit, _Mapping]]] = ..., devices: _Optional[_Iterable[_Union[Device, _Mapping]]] = ..., libraries: _Optional[_Iterable[str]] = ...) -> None: ...

class Limit(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: float
    def __init__(self, name: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...

class Device(_message.Message):
    __slots__ = ("id", "platform", "kind", "memory_bytes")
    ID_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    id: int
    platform: str
    kind: str
    memory_bytes: int
    def __init__(self, id: _Optional[int] = ..., platform: _Optional[str] = ..., kind: _Optional[str] = ..., memory_bytes: _Optional[int] = ...) -> None: ...
