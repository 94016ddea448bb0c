import json
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from runbooks.page import Page, Parameter, Step
from runbooks.runner import RunResult, argv, run_page
from storewatch.core.errors import UsageError

# Prints its arguments as JSON, so that a test sees the very words.
ECHO = f"{sys.executable} -c 'import json, sys; print(json.dumps(sys.argv[1:]))'"


def page(commands: Sequence[str], *parameters: Parameter, section: str = "mitigation") -> Page:
    steps = tuple(Step(f"step-{n}", section, (line,)) for n, line in enumerate(commands))
    return Page(Path("A.md"), "A", "page", "junior", "A", "", (), tuple(parameters), steps)


def run(
    one: Page, timeout_s: float = 20, said: list[str] | None = None, **values: str
) -> RunResult:
    return run_page(
        one,
        ("mitigation",),
        values,
        os.environ,
        timeout_s,
        (said if said is not None else []).append,
    )


@pytest.mark.parametrize(
    "value", ["a; rm -rf /", "$(reboot)", "`reboot`", "a b", "*", "'", "$HOME", "-x", "a\nb", ""]
)
def test_a_value_is_one_word_whatever_is_in_it(value: str) -> None:
    anything = Parameter("node", r"(.|\n)*")
    (result,) = run(page([f"{ECHO} $node x${{node}}y"], anything), node=value).results
    assert json.loads(result.output) == [value, f"x{value}y"]


def test_a_value_is_not_looked_through_for_further_placeholders() -> None:
    words = argv("do $a $b", {"a": "$b", "b": "${a}"})
    assert words == ["do", "$b", "${a}"]


@pytest.mark.parametrize("value", ["app-1; rm -rf /", "$(reboot)", "app-3", "app-1\n", ""])
def test_a_value_that_does_not_look_right_is_refused_before_anything_runs(
    value: str, tmp_path: Path
) -> None:
    instance = Parameter("instance", "app-[12]", default="app-1")
    with pytest.raises(UsageError, match=r"parameter instance: .* does not match app-\[12\]"):
        run(page([f"touch {tmp_path}/ran", "echo $instance"], instance), instance=value)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_parameter_is_one_line() -> None:
    with pytest.raises(UsageError, match="A has no parameter 'node'; it has: instance"):
        run(page(["true"], Parameter("instance", ".*")), node="x")
    with pytest.raises(UsageError, match="it has: none"):
        run(page(["true"]), node="x")


def test_a_missing_parameter_is_one_line() -> None:
    with pytest.raises(
        UsageError, match=r"parameter instance is missing; it looks like app-\[12\]"
    ):
        run(page(["echo $instance"], Parameter("instance", "app-[12]")))


def test_a_parameter_that_these_steps_do_not_use_need_not_be_given() -> None:
    assert run(page(["true"], Parameter("instance", "app-[12]"))).ok


def test_a_placeholder_that_the_page_does_not_declare_stops_it_before_anything_runs(
    tmp_path: Path,
) -> None:
    with pytest.raises(UsageError, match=r"\$node is no parameter of this page"):
        run(page([f"touch {tmp_path}/ran", "echo $node"]))
    assert list(tmp_path.iterdir()) == []


def test_a_default_is_used_when_no_value_is_given() -> None:
    instance = Parameter("instance", "app-[12]", default="app-1")
    assert json.loads(run(page([f"{ECHO} $instance"], instance)).results[0].output) == ["app-1"]


def test_a_value_may_be_asked_for_and_is_checked_like_any_other() -> None:
    def asked(command: str, default: str | None = None) -> Page:
        return page([f"{ECHO} $node"], Parameter("node", "db-[ab]", default, command))

    assert json.loads(run(asked("echo db-b")).results[0].output) == ["db-b"]
    assert json.loads(run(asked("echo db-b"), node="db-a").results[0].output) == ["db-a"]
    assert json.loads(run(asked("false", "db-a")).results[0].output) == ["db-a"]
    with pytest.raises(UsageError, match="'db-b; reboot' does not match"):
        run(asked("echo 'db-b; reboot'"))
    with pytest.raises(UsageError, match=r"parameter node is missing.*false does not know it"):
        run(asked("false"))
    with pytest.raises(UsageError, match="'' does not match"):
        run(asked("false"), node="")


def test_the_first_failure_ends_the_run(tmp_path: Path) -> None:
    fail = f"{sys.executable} -c 'import sys; print(\"no\"); sys.exit(3)'"
    said: list[str] = []
    result = run(page(["true", fail, f"touch {tmp_path}/ran"]), said=said)
    assert not result.ok
    assert [one.status for one in result.results] == [0, 3]
    assert list(tmp_path.iterdir()) == []
    assert said[-1] == "step-1: failed with status 3: no"


def test_only_the_wanted_sections_run(tmp_path: Path) -> None:
    result = run(page([f"touch {tmp_path}/ran"], section="diagnosis"))
    assert result.results == ()
    assert not result.ok  # nothing was repaired
    assert list(tmp_path.iterdir()) == []


def test_output_and_errors_are_kept_in_their_order() -> None:
    both = "import sys; print(1, flush=True); print(2, file=sys.stderr, flush=True); print(3)"
    (result,) = run(page([f"{sys.executable} -c '{both}'"])).results
    assert result.output.split() == ["1", "2", "3"]
    assert result.ok


def test_of_much_output_the_end_is_kept() -> None:
    much = 'for n in range(200_000): print(f"line {n}")'
    (result,) = run(page([f"{sys.executable} -c '{much}'"])).results
    assert len(result.output) == 20_000
    assert result.output.endswith("line 199999\n")


def test_a_command_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    program = (
        "import subprocess, sys, pathlib;"
        'child = subprocess.Popen(["sleep", "60"]);'
        "pathlib.Path(sys.argv[1]).write_text(str(child.pid));"
        'print("begun", flush=True);'
        "child.wait()"
    )
    said: list[str] = []
    started = time.monotonic()
    result = run(page([f"{sys.executable} -c '{program}' {pid_file}"]), timeout_s=1, said=said)
    assert time.monotonic() - started < 10
    assert [one.status for one in result.results] == [None]
    assert result.results[0].output == "begun\n"
    assert said[-1] == "step-0: still running after 1 s; given up"
    child = int(pid_file.read_text())
    pause, deadline = threading.Event(), time.monotonic() + 5
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        pause.wait(0.02)


def test_a_daemon_that_a_command_leaves_behind_does_not_hold_up_the_run(tmp_path: Path) -> None:
    program = (
        "import subprocess, sys, pathlib;"
        'child = subprocess.Popen(["sleep", "60"], start_new_session=True);'
        "pathlib.Path(sys.argv[1]).write_text(str(child.pid))"
    )
    result = run(page([f"{sys.executable} -c '{program}' {tmp_path}/pid"]), timeout_s=10)
    psutil.Process(int((tmp_path / "pid").read_text())).kill()
    assert result.ok


def test_a_command_that_does_not_exist_is_a_failed_step() -> None:
    (result,) = run(page(["no-such-program-here --now"])).results
    assert result.status == 127
    assert result.output == "no-such-program-here: No such file or directory"


def test_a_command_gets_the_environment_and_no_input(tmp_path: Path) -> None:
    show = 'import os, sys; print(os.environ["SECRET"], repr(sys.stdin.read()))'
    one = page([f"{sys.executable} -c '{show}'"])
    result = run_page(one, ("mitigation",), {}, {"SECRET": "x"}, 20, lambda _line: None)
    assert result.results[0].output == "x ''\n"


def test_python_and_storewatch_are_those_of_this_installation() -> None:
    result = run(page(["python -c 'import sys; print(sys.executable)'"]))
    assert result.results[0].output.strip() == sys.executable


def test_a_result_is_one_json_object() -> None:
    (result,) = run(page([f"{ECHO} a"])).results
    written = json.loads(json.dumps(result.to_json()))
    assert written["step"] == "step-0"
    assert written["status"] == 0
    assert written["started_at"].endswith("Z")
    assert written["duration_s"] >= 0
