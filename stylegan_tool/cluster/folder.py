"""A folder of pictures on a Ray cluster."""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from stylegan_tool.cluster.connection import connect
from stylegan_tool.cluster.parcel import Parcel, agreed, shared, try_out
from stylegan_tool.cluster.workers import FolderWork, FolderWorker, Task, located
from stylegan_tool.folder.making import Making, Result
from stylegan_tool.folder.plan import Job

MOST_IN_BATCH = 16  # pictures: enough to read and write beside the model, few enough to share the end of the work


def run_jobs_on_cluster(
    jobs: Sequence[Job],
    *,
    address: str,
    parcel: Parcel,
    making: Making,
    source: Path,
    folder: Path,
    part: str,
    say: Callable[[str], None],
) -> Generator[Result, None, None]:
    """Do the jobs and yield what came of each, as they come; see folder.making.run_jobs.

    Args:
        making: as it would be here; what the manifest and the model do is done by the workers' own.
        source: the folder that pictures are read from.
        part: of the whole, that this run does; names the manifests.

    Raises:
        SgtError: see `run_jobs`, connection.connect and parcel.Shared.
    """
    with shared(source, folder) as share, connect(address, say) as cluster:
        crew = cluster.plan_crew(wants_gpu=parcel.wants_gpu, require_gpu=parcel.require_gpu)
        parcel = replace(parcel, workers_beside=crew.beside)
        found = cluster.ask(crew, try_out, parcel, share)
        say(f"{crew.describe()}, {found.label}")
        told = FolderWork(
            agreed(parcel, found), share, folder.absolute(), part, making.blend, making.made_with, making.overwrite
        )
        tasks = [Task(n, located(job), job.output in making.replaceable) for n, job in enumerate(jobs)]
        batch_size = max(1, min(MOST_IN_BATCH, len(tasks) // (4 * crew.count)))
        with closing(cluster.run(crew, tasks, FolderWorker, told, batch_size=batch_size)) as results:
            for number, result in results:
                yield replace(result, job=jobs[number])
