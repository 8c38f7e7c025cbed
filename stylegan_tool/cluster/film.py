"""A film on a Ray cluster: shots at the same time, the frames of each in their order on one worker."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from stylegan_tool.cluster.opening import OpenedCluster, open_cluster
from stylegan_tool.cluster.parcel import Parcel
from stylegan_tool.cluster.workers import FilmWork, FilmWorker, Search, search
from stylegan_tool.errors import OutputError
from stylegan_tool.film.shots import FilmPlan
from stylegan_tool.film.store import SegmentStore


@dataclass(frozen=True)
class FilmOnCluster:
    """Makes a film's segments on a cluster; see film.convert.Elsewhere."""

    opened: OpenedCluster

    @property
    def label(self) -> str:
        """Where the model runs, for people; see Session."""
        return self.opened.found.label

    def limit_memory(self, size: int | None) -> int:
        """Return how many bytes each worker will use: `size`, or what the first one has found right."""
        return size or self.opened.found.memory_bytes

    def make(self, plan: FilmPlan, store: SegmentStore, on_frame: Callable[[], None]) -> None:
        """Make what the store lacks.

        Raises:
            SgtError: what a worker raises.
            OutputError: segments that workers have made are not there.
        """
        known = store.numbers()
        plan = replace(plan, source=plan.source.absolute())
        opened = self.opened
        parcel = replace(opened.parcel, memory_bytes=store.found["memory_bytes"])
        told = FilmWork(parcel, opened.share, store.folder.absolute(), plan)
        looking = [Search(plan, len(store.kept), store.place)]
        with closing(opened.cluster.run(opened.crew, looking, FilmWorker, told, batch_size=1, search=search)) as made:
            for number, frames in made:
                if number not in known:
                    known[number] = frames
                    for _ in range(frames):
                        on_frame()
        if store.numbers() != known:
            raise OutputError(
                f"{store.folder} lacks segments that were made on other machines",
                hint="See that all machines share it, then type the same command: it makes what is missing.",
            )


@contextmanager
def film_cluster(
    address: str, parcel: Parcel, *, source: Path, target: Path, say: Callable[[str], None]
) -> Iterator[FilmOnCluster]:
    """Connect to the cluster at `address`, and try the model out there.

    Raises:
        SgtError: see `open_cluster`.
    """
    with open_cluster(address, parcel, source=source, folder=target.parent, say=say) as opened:
        yield FilmOnCluster(opened)
