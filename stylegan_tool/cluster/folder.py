"""A folder of pictures on a Ray cluster."""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from stylegan_tool.cluster.opening import open_cluster
from stylegan_tool.cluster.parcel import Parcel
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
        SgtError: see `run_jobs` and `open_cluster`.
    """
    with open_cluster(address, parcel, source=source, folder=folder, say=say) as opened:
        told = FolderWork(
            opened.parcel,
            opened.share,
            folder.absolute(),
            part,
            making.blend,
            making.made_with,
            making.overwrite,
        )
        tasks = [Task(n, located(job), job.output in making.replaceable) for n, job in enumerate(jobs)]
        batch_size = max(1, min(MOST_IN_BATCH, len(tasks) // (4 * opened.crew.count)))
        with closing(opened.cluster.run(opened.crew, tasks, FolderWorker, told, batch_size=batch_size)) as results:
            for number, result in results:
                yield replace(result, job=jobs[number])
