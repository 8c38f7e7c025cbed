"""Connect to a cluster, and try the model out there before any work is handed out."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from stylegan_tool.cluster.connection import Cluster, Crew, connect
from stylegan_tool.cluster.parcel import Found, Parcel, Shared, agreed, shared, try_out


@dataclass(frozen=True)
class OpenedCluster:
    """A cluster whose machines see the folders and have the model; `found` is what the first one of them says of it."""

    cluster: Cluster
    crew: Crew
    parcel: Parcel
    share: Shared
    found: Found


@contextmanager
def open_cluster(
    address: str, parcel: Parcel, *, source: Path, folder: Path, say: Callable[[str], None]
) -> Iterator[OpenedCluster]:
    """Connect to the cluster at `address`, and say what runs the model there.

    Args:
        source: what is read.
        folder: where results go.

    Raises:
        SgtError: see connection.connect and parcel.Shared; or what a worker would raise.
    """
    with connect(address, say) as cluster, shared(source, folder) as share:
        crew = cluster.plan_crew(wants_gpu=parcel.wants_gpu, require_gpu=parcel.require_gpu)
        parcel = replace(parcel, workers_beside=crew.beside)
        found = cluster.ask(crew, try_out, parcel, share)
        say(f"{crew.describe()}, {found.label}")
        yield OpenedCluster(cluster, crew, agreed(parcel, found), share, found)
