import ast

import pytest
from repository import PACKAGES, ROOT, files, sources

MAXIMUM_LINES = 300
# A file that is longer holds two ideas, unless there is a reason; it stands here.
LONGER: dict[str, str] = {}


def test_init_files_are_empty() -> None:
    written = [path for package in PACKAGES for path in files(ROOT / package, "__init__.py")]
    assert written
    assert [str(path.relative_to(ROOT)) for path in written if path.stat().st_size] == []


def test_no_file_is_longer_than_its_idea() -> None:
    lengths = {str(path): text.count("\n") for path, text in sources()}
    too_long = {path for path, count in lengths.items() if count > MAXIMUM_LINES}
    assert too_long == set(LONGER)


def shells(text: str) -> list[int]:
    """Return the lines that hand text to a shell."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        by_keyword = any(
            k.arg == "shell" and not (isinstance(k.value, ast.Constant) and k.value.value is False)
            for k in node.keywords
        )
        if by_keyword or called in {"os.system", "os.popen", "subprocess.getoutput"}:
            found.append(node.lineno)
    return found


@pytest.mark.parametrize("call", ["run('ls', shell=True)", "os.system('ls')", "run(a, shell=b)"])
def test_the_search_for_shells_finds_one(call: str) -> None:
    assert shells(call) == [1]


def test_nothing_is_handed_to_a_shell() -> None:
    everything = [*sources(), *((p, p.read_text()) for p in files(ROOT / "tests", "*.py"))]
    assert [(str(path), line) for path, text in everything for line in shells(text)] == []


def test_every_package_says_that_it_is_typed() -> None:
    missing = [p for p in PACKAGES if not (ROOT / p / "py.typed").exists()]
    assert missing == []


def test_every_module_says_what_it_is() -> None:
    silent = [
        str(path)
        for path, text in sources()
        if path.name != "__init__.py" and ast.get_docstring(ast.parse(text)) is None
    ]
    assert silent == []
