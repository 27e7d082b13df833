"""A package that was installed, or changed, after the start of the program cannot be imported: it says "restart"."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.plugin_folder import GOOD, PluginFolder

from taskloom.catalog.entry_points import Catalog
from taskloom.errors import CatalogError, TaskImportFailed, TaskNotFound
from taskloom.jobfile.fields.spec import JobErrors
from taskloom.jobfile.job_spec import job_spec

EDITABLE = "it is installed in editable form, which takes effect when a program starts: restart the program"


def refusal(name: str) -> CatalogError:
    with pytest.raises(CatalogError) as caught:
        Catalog().load(name)
    return caught.value


def make_editable(packages: PluginFolder, source: Path, *, by: str = "direct_url.json") -> None:
    """Install the task `late` as pip does with -e, but in a program that has started before: nothing reads the path
    file.
    """
    info = packages.add("late", "", late="good")
    (packages.path / "late.py").unlink()
    if by == "direct_url.json":
        url = source.as_uri() if source.is_absolute() else str(source)
        (info / by).write_text(json.dumps({"dir_info": {"editable": True}, "url": url}))
    else:
        (info / "RECORD").write_text("__editable__.late-1.0.pth,sha256=x,3\nlate-1.0.dist-info/METADATA,,\n")
    (packages.path / "__editable__.late-1.0.pth").write_text("import __editable___late_finder\n")


@pytest.mark.parametrize("by", ["direct_url.json", "RECORD"])
def test_a_package_in_editable_form_that_is_not_active_yet(packages: PluginFolder, tmp_path: Path, by: str) -> None:
    make_editable(packages, tmp_path, by=by)
    error = refusal("late")

    assert isinstance(error, TaskImportFailed)
    assert (
        str(error) == f"cannot import task 'late' of late 1.0: ModuleNotFoundError: No module named 'late'; {EDITABLE}"
    )
    with pytest.raises(JobErrors) as caught:
        job_spec("a", {"task": "late"}, Catalog())
    assert caught.value.errors[0].message == str(error)
    assert caught.value.errors[0].hint == ""


def test_a_package_in_editable_form_whose_source_is_gone(packages: PluginFolder, tmp_path: Path) -> None:
    make_editable(packages, tmp_path / "source folder")

    assert str(refusal("late")).endswith(
        f"it is installed in editable form, and its source folder '{tmp_path}/source folder' is gone: install it again"
    )


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"dir_info": 5}', '{"dir_info": {"editable": false}}', "\xff"]
)
def test_any_other_package_gets_no_such_advice(packages: PluginFolder, text: str) -> None:
    info = packages.add("late", "", late="good")
    (packages.path / "late.py").unlink()
    (info / "direct_url.json").write_text(text, encoding="latin-1")

    assert str(refusal("late")).endswith("ModuleNotFoundError: No module named 'late'")


def test_a_package_in_editable_form_that_lacks_another_package(packages: PluginFolder, tmp_path: Path) -> None:
    make_editable(packages, tmp_path)
    (packages.path / "late.py").write_text("import not_installed_anywhere\n")
    importlib.invalidate_caches()

    assert str(refusal("late")).endswith("No module named 'not_installed_anywhere'")


Add = Callable[[PluginFolder, Path], object]

PATH_FILES: dict[str, Add] = {
    "added.pth": lambda packages, source: (packages.path / "added.pth").write_text(f"{source}\n"),
    "of several lines": lambda packages, source: (packages.path / "added.pth").write_text(
        f"# a comment\nimport os\n/gone/for/good\nno such folder\n\0\n{source}\n"
    ),
    "relative": lambda packages, source: (packages.path / "added.pth").write_text(f"../{source.name}\n"),
    "easy-install.pth": lambda packages, source: (packages.path / "easy-install.pth").write_text(f"{source}\n"),
    "late.egg-link": lambda packages, source: (packages.path / "late.egg-link").write_text(f"{source}\n."),
}


@pytest.mark.parametrize("kind", PATH_FILES)
def test_a_path_file_that_this_program_has_not_read(packages: PluginFolder, tmp_path: Path, kind: str) -> None:
    source = PluginFolder(tmp_path / "late source")
    source.path.mkdir()
    source.add("late", GOOD, late="good")
    PATH_FILES[kind](packages, source.path)

    error = refusal("late")

    assert isinstance(error, TaskNotFound)
    assert str(error).endswith("adds it, but this program is older than that file: restart the program")
    assert "restart" not in str(refusal("other"))


@pytest.mark.parametrize("text", ["/gone/for/good\n", "\0\n", "\xff\xfe\n", "import nowhere\n", "x" * 5000, "."])
def test_a_path_file_with_a_wrong_line_hides_nothing(packages: PluginFolder, text: str) -> None:
    (packages.path / "odd.pth").write_text(text, encoding="latin-1")
    (packages.path / "odd.egg-link").write_text(text, encoding="latin-1")
    (packages.path / "gone.pth").symlink_to("nothing")
    (packages.path / "folder.pth").mkdir()
    packages.add_good()

    assert Catalog().load("good").distribution == "neighbour"
    assert "restart" not in str(refusal("odd"))


CHANGES = {
    "def new(ctx): ...": "def",
    "async def new(ctx): ...": "async def",
    "class new: ...": "class",
    "new = print": "assignment",
    "new: object = print": "annotated assignment",
    "from os import walk as new": "import",
}


@pytest.mark.parametrize("code", CHANGES, ids=CHANGES.values())
def test_a_module_that_was_imported_before_it_got_the_task(packages: PluginFolder, code: str) -> None:
    info = packages.add("grown", GOOD, good="good")
    Catalog().load("good")

    (packages.path / "grown.py").write_text(f"{GOOD}\n{code}\n")
    (info / "entry_points.txt").write_text("[taskloom.tasks]\nnew = grown:new\nnever = grown:never\n")

    assert str(refusal("new")).endswith(
        "the file of module grown has changed since it was imported: restart the program"
    )
    assert str(refusal("never")).endswith("AttributeError: module 'grown' has no attribute 'never'")


def test_a_new_module_that_needs_what_an_imported_one_has_got_since(packages: PluginFolder) -> None:
    info = packages.add("grown", GOOD, good="good")
    Catalog().load("good")

    (packages.path / "grown.py").write_text(f"{GOOD}\nHELP = 1\n")
    (packages.path / "grown_more.py").write_text("from grown import HELP\n")
    (info / "entry_points.txt").write_text("[taskloom.tasks]\nnew = grown_more:new\n")
    importlib.invalidate_caches()

    assert str(refusal("new")).endswith(
        "the file of module grown has changed since it was imported: restart the program"
    )
    sys.modules.pop("grown_more", None)


def test_a_module_that_has_become_a_package(packages: PluginFolder) -> None:
    info = packages.add("grown", GOOD, good="good")
    Catalog().load("good")

    (packages.path / "grown").mkdir()
    (packages.path / "grown" / "__init__.py").write_text(GOOD)
    (packages.path / "grown" / "more.py").write_text(GOOD)
    (packages.path / "grown.py").unlink()
    (info / "entry_points.txt").write_text("[taskloom.tasks]\nnew = grown.more:good\n")

    assert str(refusal("new")).endswith("its package has changed since it was imported: restart the program")
