"""Tasks and runners are found by entry points, and each kind of failure has its own error.

The distributions are toys: a folder on the path with a module and the metadata that pip would have left.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from stevedore.extension import ExtensionManager
from tests.support.given_catalog import GivenCatalog

from taskloom.catalog.entry_points import Catalog
from taskloom.errors import AmbiguousTask, CatalogError, NotATask, TaskImportFailed, TaskNotFound
from taskloom.task import Context

Install = Callable[..., Path]

GOOD = "from taskloom.task import Task\nclass Good(Task):\n    def run(self, ctx): ...\n"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Lay down a distribution: `install("toy", good="toy:Good", code={"toy": ...})`."""
    before = set(sys.modules)

    def install(name: str, *, version: str = "1.0", code: dict[str, str], group: str = "tasks", **points: str) -> Path:
        place = tmp_path / f"{name}-{version}"
        info = place / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        lines = [f"{point.replace('__', '-')} = {target}" for point, target in points.items()]
        (info / "entry_points.txt").write_text("\n".join([f"[taskloom.{group}]", *lines]) + "\n")
        for module, text in code.items():
            (place / f"{module}.py").write_text(text)
        monkeypatch.syspath_prepend(str(place))
        return place

    yield install
    for name in set(sys.modules) - before:
        if name.startswith("toy"):
            del sys.modules[name]


def failure(name: str) -> CatalogError:
    with pytest.raises(CatalogError) as caught:
        Catalog().load(name)
    return caught.value


def test_the_built_in_tasks_are_found_with_their_distribution() -> None:
    catalog = Catalog()

    assert {"command", "countdown", "socket-reader", "socket-sender"} <= set(catalog.names())
    [entry] = [entry for entry in catalog.entries() if entry.name == "countdown"]
    assert entry.distribution == "taskloom"
    assert entry.target == "taskloom_plugins.countdown:Countdown"
    assert catalog.names("runner") == ["dask", "process", "thread"]


def test_a_strangers_task_is_loaded_with_its_name_and_version(install: Install) -> None:
    install("toy-tasks", version="1.2.3", good="toy_good:Good", code={"toy_good": GOOD})

    loaded = Catalog().load("good")

    assert (loaded.name, loaded.distribution, loaded.version) == ("good", "toy-tasks", "1.2.3")
    assert loaded.shape.name == "Good"


def test_only_the_task_that_is_asked_for_is_imported(install: Install) -> None:
    install("toy", good="toy_good:Good", bad="toy_bad:Bad", code={"toy_good": GOOD, "toy_bad": "raise OSError"})

    Catalog().load("good")

    assert "toy_good" in sys.modules
    assert "toy_bad" not in sys.modules


def test_of_five_hundred_tasks_the_one_that_is_named_is_imported(install: Install) -> None:
    points = {f"t{number}": f"toy_{number}:Good" for number in range(500)}
    install("toy", code={f"toy_{number}": GOOD for number in range(500)}, **points)

    Catalog().load("t250")

    assert [name for name in sys.modules if name.startswith("toy_")] == ["toy_250"]


def test_the_disk_cache_of_stevedore_is_not_used(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    stale = EntryPoint("good", "toy_stale:Gone", "taskloom.tasks")
    monkeypatch.setitem(ExtensionManager.ENTRY_POINT_CACHE, "taskloom.tasks", [stale])
    install("toy", good="toy_good:Good", code={"toy_good": GOOD})

    loaded = Catalog().load("good")

    assert (loaded.distribution, loaded.shape.name) == ("toy", "Good")


def test_garbage_in_stevedores_cache_on_disk_does_no_harm(child_env: dict[str, str], tmp_path: Path) -> None:
    program = (
        "import pathlib\n"
        "from stevedore.extension import ExtensionManager\n"
        "ExtensionManager('toy.group.that.nobody.offers')\n"
        f"for file in pathlib.Path({str(tmp_path)!r}).rglob('*'):\n"
        "    file.is_file() and file.write_text('garbage')\n"
        "from taskloom.catalog.entry_points import Catalog\n"
        "print(Catalog().load('countdown').name)\n"
    )

    answer = subprocess.run(
        [sys.executable, "-c", program],
        env=child_env | {"XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert (answer.returncode, answer.stdout) == (0, "countdown\n"), answer.stderr


def test_an_unknown_name_is_refused_with_its_near_match(install: Install) -> None:
    install("toy", toy__good="toy_good:Good", code={"toy_good": GOOD})

    error = failure("toy-god")

    assert isinstance(error, TaskNotFound)
    assert error.near == "toy-good"
    assert "toy-good" in error.installed


FAILING_IMPORTS = [
    ("import toy_not_there", "ModuleNotFoundError: No module named 'toy_not_there'"),
    ("def broken(:", "SyntaxError: invalid syntax (toy_bad.py, line 2)"),
    ("import sys; sys.exit(0)", "it called sys.exit(0) when imported"),
    ("import sys; sys.exit()", "it called sys.exit() when imported"),
    ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    ("assert 1 == 2, 'no'", "AssertionError: no"),
    ("def f(): f()\nf()", "RecursionError: maximum recursion depth exceeded"),
    ("raise BaseException('odd')", "BaseException: odd"),
    ("other = 1", "AttributeError: module 'toy_bad' has no attribute 'Bad'"),
]


@pytest.mark.parametrize("code, told", FAILING_IMPORTS, ids=[told for _, told in FAILING_IMPORTS])
def test_any_exception_of_an_import_is_that_plugins_failure_alone(install: Install, code: str, told: str) -> None:
    install("toy", bad="toy_bad:Bad", good="toy_good:Good", code={"toy_bad": f"\n{code}\n", "toy_good": GOOD})
    catalog = Catalog()

    with pytest.raises(TaskImportFailed) as caught:
        catalog.load("bad")

    assert str(caught.value) == f"cannot import task 'bad' of toy 1.0: {told}"
    assert catalog.load("good").name == "good"


def test_the_traceback_of_a_failed_import_begins_in_the_plugin(install: Install) -> None:
    place = install("toy", bad="toy_bad:Bad", code={"toy_bad": "def deep():\n    raise OSError('no disk')\ndeep()\n"})

    error = failure("bad")

    assert isinstance(error, TaskImportFailed)
    lines = error.traceback.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1] == f'  File "{place}/toy_bad.py", line 3, in <module>'
    assert lines[-1] == "OSError: no disk"


def test_a_plugin_that_failed_is_not_imported_again(install: Install) -> None:
    install("toy", bad="toy_bad:Bad", code={"toy_bad": "import sys\nsys.path.append('again')\nraise OSError\n"})
    catalog = Catalog()

    for _ in range(3):
        with pytest.raises(TaskImportFailed):
            catalog.load("bad")

    assert sys.path.count("again") == 1
    sys.path.remove("again")


def test_an_object_that_is_not_a_task_is_refused_by_name(install: Install) -> None:
    install("toy", odd="toy_odd:Odd", code={"toy_odd": "class Odd:\n    pass\n"})

    error = failure("odd")

    assert isinstance(error, NotATask)
    assert str(error) == "cannot use task 'odd' of toy 1.0: class Odd is not a task; derive it from taskloom.Task"


def test_a_task_whose_default_does_not_fit_is_refused_by_name(install: Install) -> None:
    install("toy", odd="toy_odd:odd", code={"toy_odd": "def odd(ctx, n: int = 'x'): ...\n"})

    error = failure("odd")

    assert isinstance(error, NotATask)
    assert str(error) == (
        "cannot use task 'odd' of toy 1.0: default of parameter 'n': cannot use 'x' as n; expected an integer"
    )


def test_two_distributions_that_offer_one_name_are_both_named(install: Install) -> None:
    install("toy-one", good="toy_one:Good", another="toy_one:Good", code={"toy_one": GOOD})
    install("toy-two", version="2.5", good="toy_two:Good", zoo="toy_two:Good", code={"toy_two": GOOD})

    error = failure("good")

    assert isinstance(error, AmbiguousTask)
    assert str(error) == (
        "cannot choose task 'good': offered by toy-one 1.0 and by toy-two 2.5; write toy-one/good or toy-two/good"
    )
    assert "toy_one" not in sys.modules
    assert Catalog().load("zoo").distribution == "toy-two"


def test_a_task_that_shadows_a_built_in_one_is_ambiguous(install: Install) -> None:
    install("toy", countdown="toy_good:Good", code={"toy_good": GOOD})

    error = failure("countdown")

    assert isinstance(error, AmbiguousTask)
    assert {each.split()[0] for each in error.distributions} == {"taskloom", "toy"}


def test_a_task_that_is_falsy_is_still_itself(install: Install) -> None:
    code = (
        "from taskloom.task import Task\n"
        "class Meta(type):\n    def __len__(cls): return 0\n"
        "class Empty(Task, metaclass=Meta):\n    def run(self, ctx): ...\n"
    )
    install("toy", empty="toy_empty:Empty", code={"toy_empty": code})

    assert Catalog().load("empty").shape.name == "Empty"


def test_a_new_catalog_sees_a_package_installed_a_moment_ago(install: Install) -> None:
    place = install("toy", good="toy_good:Good", code={"toy_good": GOOD})
    assert "added" not in Catalog().names()

    entry_points = place / "toy-1.0.dist-info" / "entry_points.txt"
    entry_points.write_text("[taskloom.tasks]\nadded = toy_good:Good\n")

    names = Catalog().names()
    assert "added" in names
    assert "good" not in names


@pytest.mark.parametrize("broken", ["[taskloom.tasks]\nno equals sign\n", "[taskloom.tasks\n", "\xff\xfe"])
def test_a_broken_distribution_hides_no_other(install: Install, broken: str) -> None:
    place = install("toy-broken", bad="x:y", code={})
    entry_points = place / "toy_broken-1.0.dist-info" / "entry_points.txt"
    entry_points.write_bytes(broken.encode("latin-1"))
    install("toy", good="toy_good:Good", code={"toy_good": GOOD})
    importlib.invalidate_caches()

    assert Catalog().load("good").distribution == "toy"


def test_a_distribution_without_metadata_is_still_named(install: Install) -> None:
    place = install("toy", bad="toy_bad:Bad", code={"toy_bad": "raise OSError('x')"})
    (place / "toy-1.0.dist-info" / "METADATA").unlink()

    assert str(failure("bad")) == "cannot import task 'bad' of toy 1.0: OSError: x"


def test_a_runner_is_loaded_and_any_other_object_is_refused(install: Install) -> None:
    code = {"toy_runners": "class Local:\n    def start(self): ...\nclass Odd: ...\n"}
    install("toy", group="runners", local="toy_runners:Local", odd="toy_runners:Odd", code=code)
    catalog = Catalog()

    assert catalog.load_runner("local").factory.__name__ == "Local"
    with pytest.raises(NotATask) as caught:
        catalog.load_runner("odd")
    assert str(caught.value).startswith("cannot use runner 'odd' of toy 1.0: <class 'toy_runners.Odd'> is not a class")
    with pytest.raises(TaskNotFound, match="cannot find runner 'slurm'; installed: dask, local, odd, process, thread"):
        catalog.load_runner("slurm")


def test_a_given_catalog_offers_the_given_tasks() -> None:
    def beat(ctx: Context) -> None:
        """Beat."""

    catalog = GivenCatalog({"beat": beat, "odd": 5})

    assert catalog.names() == ["beat", "odd"]
    assert catalog.load("beat").shape.target is beat
    assert catalog.names("runner") == ["dask", "process", "thread"]
    with pytest.raises(NotATask, match="cannot use task 'odd' of given: int 5 is neither"):
        catalog.load("odd")
    with pytest.raises(TaskNotFound, match="cannot find task 'countdown'; installed: beat, odd"):
        catalog.load("countdown")


def test_each_import_is_announced_with_what_it_raised(install: Install) -> None:
    install("toy", good="toy_good:Good", bad="toy_bad:Bad", code={"toy_good": GOOD, "toy_bad": "raise SystemExit(3)"})
    seen: list[tuple[str, str, str, str]] = []
    catalog = Catalog(lambda kind, entry, error: seen.append((kind, entry.name, entry.offered_by, repr(error))))

    catalog.load("good")
    catalog.load("good")
    for _ in range(2):
        with pytest.raises(TaskImportFailed, match=r"sys\.exit\(3\)"):
            catalog.load("bad")
    with pytest.raises(TaskNotFound):
        catalog.load("missing")

    assert seen == [("task", "good", "toy 1.0", "None"), ("task", "bad", "toy 1.0", "SystemExit(3)")]


def test_what_the_callback_raises_reaches_the_caller(install: Install) -> None:
    install("toy", bad="toy_bad:Bad", code={"toy_bad": "raise MemoryError"})

    def refuse(_kind: str, _entry: object, error: BaseException | None) -> None:
        raise ZeroDivisionError from error

    with pytest.raises(ZeroDivisionError):
        Catalog(refuse).load("bad")
