import dataclasses
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.model.evaluation import Change, Evaluation, FileChange, Phase, Revision, Scope, Step, Trigger
from nodeagent.model.events import EVENT_TYPES, Difference, Notice, StepEnded, StepOutput
from nodeagent.model.outcomes import ApplyOutcome, Failure, Mode, PollOutcome
from nodeagent.workers import frames

STEP = Step(file="post.sh", line=3, phase=Phase.COPY, change=Change.CREATED, path=os.fsdecode(b"/etc/\xff"))
OUTCOME = ApplyOutcome(
    mode=Mode.APPLYING,
    attempted="main@sha1:a",
    applied="",
    ready=True,
    evaluation=Evaluation(
        number=1,
        revision=Revision(ref="main", commit="a", tree="b"),
        scope=Scope.FULL,
        trigger=Trigger.BOOT,
        exit_status=0,
        finished=True,
        counts={Change.CREATED: 1},
        steps=(STEP,),
        duration_usec=10,
    ),
    failed_steps=("post.sh:3 a",),
    failure=Failure(code="WorkerFailed", message="m", transient=True),
)


@pytest.mark.parametrize(
    "value", [OUTCOME, PollOutcome(commit="", moved=False), StepEnded(number=1, step=STEP, announce=True)]
)
def test_a_value_comes_out_as_it_went_in(value: object) -> None:
    again = frames.decode(frames.encode(value))
    assert again == value
    assert repr(again) == repr(value) or value is OUTCOME  # enums are enums again, tuples tuples


def test_the_parts_of_a_value_have_their_types_again() -> None:
    again = frames.decode(frames.encode(OUTCOME))
    assert isinstance(again, ApplyOutcome)
    assert again.mode is Mode.APPLYING
    assert again.evaluation is not None
    assert again.evaluation.steps[0].phase is Phase.COPY
    assert again.evaluation.trigger is Trigger.BOOT


@given(st.binary())
def test_any_bytes_of_a_path_or_an_output_survive_in_one_ascii_line(raw: bytes) -> None:
    event = StepOutput(number=1, text=os.fsdecode(raw))
    frame = frames.encode(event)
    assert frame.isascii()
    assert frame.count(b"\n") == 1
    assert frames.decode(frame) == event


@given(
    st.binary()
    | st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists).map(
        lambda v: json.dumps({"kind": "Notice", "value": v}).encode()
    )
)
def test_garbage_raises_value_error_and_nothing_else(raw: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the class is the contract
        frames.decode(raw)


@pytest.mark.parametrize(
    "frame",
    [
        {"kind": "Unknown", "value": {}},
        {"kind": "Notice", "value": {"priority": 3, "text": "t", "code": ""}},
        {"kind": "Notice", "value": {"priority": 3, "text": "t", "code": "", "path": "", "more": 1}},
        {"kind": "Notice", "value": {"priority": True, "text": "t", "code": "", "path": ""}},
        {"kind": "Notice", "value": {"priority": 3, "text": None, "code": "", "path": ""}},
        {"kind": "Notice", "value": {"priority": 3, "text": "t", "code": "", "path": ""}, "more": 1},
        {"kind": "Notice", "value": {"priority": 3, "text": "\ud800", "code": "", "path": ""}},
    ],
)
def test_a_frame_with_other_fields_or_types_is_refused(frame: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        frames.decode(json.dumps(frame).encode())


def test_nesting_without_end_is_refused() -> None:
    with pytest.raises(ValueError, match="deep"):
        frames.decode(b'{"kind":' + b"[" * 500_000)


def test_only_classes_that_may_cross_are_encoded() -> None:
    with pytest.raises(TypeError, match="FileChange"):
        frames.encode(FileChange(path="/", change=Change.CREATED))
    with pytest.raises(TypeError, match="object"):
        frames.encode(Notice(priority=object(), text=""))  # type: ignore[arg-type]


def test_a_frame_over_the_limit_is_not_made() -> None:
    with pytest.raises(ValueError, match="too long"):
        frames.encode(Notice(priority=6, text="x" * frames.LIMIT))


def test_every_event_can_cross() -> None:
    samples: dict[object, object] = {
        str: "x",
        int: 1,
        int | None: 1,
        bool: True,
        Scope: Scope.FULL,
        Trigger: Trigger.BOOT,
        Step: STEP,
        Change: Change.CREATED,
        Phase: Phase.COPY,
        Difference: Difference.NEW,
    }
    for kind in EVENT_TYPES:
        fields = {f.name: samples.get(f.type, {}) for f in dataclasses.fields(kind)}
        event = kind(**fields)  # type: ignore[arg-type]
        assert frames.decode(frames.encode(event)) == event
