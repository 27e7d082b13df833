"""From the jobs that a caller declares to what the core needs. On the caller's thread: plugins are imported here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from taskloom.core.changes import Plan, make_plan
from taskloom.core.inputs import AddJobs
from taskloom.core.model import JobSpec
from taskloom.core.remembered import NOTHING_REMEMBERED, Recollection, RememberedJob
from taskloom.errors import TaskNotFound
from taskloom.scheduler.engine import Engine
from taskloom.scheduler.fingerprint import fingerprint
from taskloom.scheduler.handles import JobHandle
from taskloom.scheduler.memory import Memory, refuse_without_memory

if TYPE_CHECKING:
    from taskloom.catalog.entry_points import Catalog
    from taskloom.job import Job

__all__ = ["Declarations"]


class Declarations:
    """Declares jobs for one engine. Any thread may call any method.

    `catalog` finds tasks and runners; without one, those that are installed are found. Without `memory`, jobs that need
    one are refused.
    """

    def __init__(self, engine: Engine, catalog: Catalog | None, memory: Memory | None) -> None:
        self._engine = engine
        self._catalog = catalog
        self._memory = memory

    def plan(self, specs: Sequence[JobSpec]) -> Plan:
        """Plan a reload on the calling thread: a stop does not wait until thousands of jobs are compared."""
        return make_plan(self._engine.query(None, lambda core: core.reloader.declarations()), specs)

    def add(self, specs: Sequence[JobSpec], remembered: Mapping[str, RememberedJob]) -> list[JobHandle]:
        """Have the core add these jobs; nothing starts."""
        self._engine.call(AddJobs(tuple(specs), self.recollect(specs, remembered)))
        return [JobHandle(spec.name, self._engine) for spec in specs]

    def recollect(self, specs: Iterable[JobSpec], remembered: Mapping[str, RememberedJob]) -> Recollection:
        """Return what the core gets to know about these jobs; called on the caller's thread. Raises InvalidJob."""
        if self._memory is None:
            refuse_without_memory(specs)
            if not remembered:
                return NOTHING_REMEMBERED
        return Recollection(remembered, {spec.name: fingerprint(spec) for spec in specs})

    def specs(self, jobs: Iterable[Job | JobSpec]) -> list[JobSpec]:
        """Return each job, or each of its replicas, with its task loaded; makes the runners that they need."""
        declared = (job if isinstance(job, JobSpec) else self._spec(job) for job in jobs)
        specs = [spec for job in declared for spec in job.replicated()]
        for name in {spec.runner.name for spec in specs}:
            self._provide_runner(name)
        return specs

    def _provide_runner(self, name: str) -> None:
        """Make the runner if a job needs it for the first time: on the caller's thread, since it may be imported.

        If it is not installed, or cannot be imported or made, the runs say so and why: their start fails.
        """
        executor = self._engine.executor
        if executor.has_runner(name):
            return
        try:
            runner = self._own_catalog().load_runner(name).factory()
        except TaskNotFound:
            return
        except Exception as error:  # noqa: BLE001 - code of a plugin
            from taskloom.scheduler.unmade_runner import UnmadeRunner

            runner = UnmadeRunner(error)
        executor.add_runner(name, runner)

    def _own_catalog(self) -> Catalog:
        if self._catalog is None:
            from taskloom.catalog.entry_points import Catalog

            self._catalog = Catalog()
        return self._catalog

    def _spec(self, job: Job) -> JobSpec:
        from taskloom.jobfile.job_spec import spec_of

        return spec_of(job, self._own_catalog())
