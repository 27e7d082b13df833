"""The options of runner `dask` in final form, and the packages of its extra."""

from __future__ import annotations

import configparser
import datetime as dt
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
from tests.support.given_catalog import GivenCatalog

from taskloom.core.model import JobSpec, JoinPolicy, Otherwise
from taskloom.jobfile.fields.spec import JobErrors
from taskloom.jobfile.job_spec import job_spec, read_defaults
from taskloom.runners.dask import extra
from taskloom.runners.dask.address import SchedulerAddress
from taskloom.runners.dask.options import Cluster, DaskOptions, TlsFiles, check_options
from taskloom.runners.dask.protocol.messages import Lease
from taskloom.task import Context

ROOT = Path(__file__).resolve().parents[3]


def idle(ctx: Context, value: Any = None) -> None:
    """Do nothing."""


CATALOG = GivenCatalog({"idle": idle})
LOCAL = {"dask": {"local": 2}}


def spec(**fields: Any) -> JobSpec:
    return job_spec("a", {"task": "idle", **fields}, CATALOG)


def errors(**fields: Any) -> list[tuple[Any, str, str]]:
    with pytest.raises(JobErrors) as caught:
        spec(**fields)
    return [error[:3] for error in caught.value.errors]


def test_a_local_cluster_has_the_default_terms() -> None:
    options = DaskOptions.of(spec(runner=LOCAL).runner.options)

    assert options == DaskOptions(Cluster(local=2), {})
    assert options.cluster.lease == Lease(ttl=20.0, grace=10.0, period=5.0, claim_wait=30.0)
    assert options.cluster.wait == 30.0


def test_all_options_arrive_in_final_form() -> None:
    written = {
        "scheduler": "tcp://dask:8786",
        "insecure": True,
        "resources": {"GPU": 1, "DISK": 0.5},
        "workers": ["node-1", "node-2"],
        "lease": {"ttl": "1m", "grace": 0},
        "wait": "2m",
        "env": {"A": "1"},
        "cwd": "/data",
        "nice": 5,
        "user": 33,
        "memory_limit": "1GiB",
    }

    options = DaskOptions.of(spec(runner={"dask": written}).runner.options)

    assert options.cluster == Cluster(
        scheduler=SchedulerAddress("tcp", "dask", 8786),
        resources=(("DISK", 0.5), ("GPU", 1)),
        workers=("node-1", "node-2"),
        lease=Lease(ttl=60.0, grace=0.0),
        wait=120.0,
    )
    assert options.process == {"env": {"A": "1"}, "cwd": "/data", "nice": 5, "user": "33", "memory_limit": 1 << 30}


def test_jobs_that_write_an_equal_cluster_share_it_whatever_their_processes_are_given() -> None:
    one = DaskOptions.of({"scheduler": "tls://a:1", "tls": {"ca_file": "c", "cert_file": "d"}, "nice": 5})
    other = DaskOptions.of(
        {"scheduler": "tls://a:1", "tls": {"cert_file": "d", "ca_file": "c"}, "lease": {"ttl": 20.0}}
    )
    third = DaskOptions.of({"scheduler": "tls://a:1", "tls": {"ca_file": "c", "cert_file": "d", "key_file": "e"}})

    assert len({one.cluster, other.cluster}) == 1
    assert third.cluster != one.cluster
    assert third.cluster.tls == TlsFiles("c", "d", "e")


@pytest.mark.parametrize(
    ("cluster", "shown"),
    [
        (Cluster(local=1), "the local cluster of 1 worker"),
        (Cluster(local=3), "the local cluster of 3 workers"),
        (Cluster(SchedulerAddress("tls", "::1", 8786)), "the cluster at tls://[::1]:8786"),
    ],
)
def test_messages_name_the_cluster(cluster: Cluster, shown: str) -> None:
    assert cluster.shown == shown


def test_a_run_on_a_cluster_is_killed_at_the_end_of_its_time() -> None:
    assert spec(runner=LOCAL, join="7s").join == JoinPolicy(7.0, Otherwise.KILL)
    assert spec(runner=LOCAL, daemon=True).join == JoinPolicy(10.0, Otherwise.KILL)


def test_a_cluster_may_be_the_default_of_a_file() -> None:
    defaults = read_defaults({"runner": LOCAL})

    assert job_spec("a", {"task": "idle"}, CATALOG, defaults=defaults).runner.name == "dask"


def test_a_param_that_is_not_json_data_is_refused_with_its_place() -> None:
    found = errors(runner=LOCAL, params={"value": {"when": [dt.date(2026, 1, 2)]}})

    assert found == [
        (
            ("params", "value", "when", 0),
            "cannot pass param 'value.when[0]' to a process: datetime.date(2026, 1, 2) of type date is not JSON data",
            "write it as text",
        )
    ]


def test_a_task_without_a_name_of_its_own_is_refused() -> None:
    catalog = GivenCatalog({"nameless": lambda ctx: None})

    with pytest.raises(JobErrors) as caught:
        job_spec("a", {"task": "nameless", "runner": LOCAL}, catalog)

    [error] = caught.value.errors
    assert error.message == "cannot run a lambda in a process: it cannot be imported by a name"


def test_check_options_takes_options_that_the_reader_accepts() -> None:
    assert list(check_options({"scheduler": "tcp://localhost:1", "insecure": True})) == []
    assert [error[0] for error in check_options({"local": 1, "tls": {}, "workers": ()})] == [("tls",), ("workers",)]


# -- the extra


def versions_of(found: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    def version(package: str) -> str:
        if package not in found:
            raise PackageNotFoundError(package)
        return found[package]

    monkeypatch.setattr(extra, "version", version)


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ({}, "dask is not installed"),
        ({"dask": "2026.8.0"}, "distributed is not installed"),
        ({"dask": "2026.8.0", "distributed": "2026.8.3"}, ""),
        (
            {"dask": "2026.8.0", "distributed": "2026.80.0"},
            "distributed 2026.80.0 is installed, and release 2026.8 is needed",
        ),
        ({"dask": "2025.5.1", "distributed": "2025.5.1"}, "dask 2025.5.1 is installed, and release 2026.8 is needed"),
    ],
)
def test_the_packages_of_the_extra_have_to_be_there(
    found: dict[str, str], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions_of(found, monkeypatch)

    assert extra.why_unusable() == why


def test_a_job_without_the_extra_is_refused_with_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    versions_of({}, monkeypatch)

    assert errors(runner=LOCAL) == [
        (("runner",), "cannot use runner dask: dask is not installed", "pip install 'taskloom[dask]'")
    ]


def test_the_release_is_the_one_that_setup_cfg_allows() -> None:
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg", encoding="utf-8")
    year, month = map(int, extra.RELEASE.split("."))

    required = settings["options.extras_require"]["dask"].split()

    assert f"dask>={extra.RELEASE}.0,<{year}.{month + 1}" in required
    assert f"distributed>={extra.RELEASE}.0,<{year}.{month + 1}" in required


@pytest.mark.parametrize(
    ("found", "problems"),
    [
        ({"dask": "2026.8.0", "distributed": "2026.8.3"}, []),
        (
            {"dask": "2026.8.0", "distributed": "2026.7.1"},
            ["has distributed 2026.7.1; this program needs release 2026.8"],
        ),
        ({}, ["has dask of an unknown version; this program needs release 2026.8"]),
    ],
)
def test_a_worker_with_another_release_of_dask_says_so(
    found: dict[str, str], problems: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    versions_of(found, monkeypatch)

    assert extra.problems_here() == problems
