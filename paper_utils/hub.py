"""What comes over the network: whether a server answers, and files of the Hugging Face hub at a fixed commit."""

import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from paper_utils.files import ROOT


class Unreachable(RuntimeError):
    """The server does not answer within seconds, or the transfer broke off."""


def answers(url: str, seconds: float = 6.0) -> bool:
    """Tell whether a server answers at all: urllib alone waits minutes for a silent network."""

    def ask() -> None:
        with suppress(urllib.error.HTTPError):  # it answers, but not with this page: the client will say more exactly
            urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=seconds).close()

    pool = ThreadPoolExecutor(max_workers=1)
    try:
        # Looking a name up has no time limit of its own: limit the wait here, and leave the thread behind.
        pool.submit(ask).result(timeout=seconds + 2)
    except (OSError, ValueError):
        return False
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return True


def latest_commit(repository: str) -> str:
    """Look up the commit that a model repository's main branch is at now; raises Unreachable."""
    from huggingface_hub import HfApi

    with _reaching(repository, repository):
        return HfApi().model_info(repository, timeout=10).sha


def download(
    repository: str, names: Sequence[str], commit: str, folder: Path | None = None, kind: str = "model"
) -> Path:
    """Fetch files of a repository at a commit into `folder` or the hub's cache; return where, or raise Unreachable."""
    from huggingface_hub import hf_hub_download

    how = {"repo_type": kind, "revision": commit, "local_dir": folder, "etag_timeout": 10}
    with _reaching(repository, f"{'datasets/' * (kind == 'dataset')}{repository}/resolve/{commit}/{names[0]}"):
        paths = [Path(hf_hub_download(repository, name, **how)) for name in names]
    return paths[0].parent


@contextmanager
def _reaching(repository: str, page: str) -> Iterator[None]:
    """Run what asks the hub; raises Unreachable where `page` does not answer within seconds, or the client gives up."""
    if not answers(f"https://huggingface.co/{page}"):
        raise Unreachable(f"the hub does not answer for {repository}")
    try:
        yield
    except Exception as error:  # the client raises its transport library's own
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise Unreachable(f"the transfer from {repository} broke off ({why})") from error


def locate(source: str | Path, names: Sequence[str]) -> tuple[Path, str]:
    """Find a checkpoint's folder and its name for people; fetch `names` where `source` is `owner/name[@commit]`.

    Without a commit the newest is looked up. Raises FileNotFoundError: no folder and no hub id; or Unreachable.
    """
    if (folder := Path(source)).is_dir():
        inside = folder.resolve().is_relative_to(ROOT)
        return folder, folder.resolve().relative_to(ROOT).as_posix() if inside else folder.name
    if not re.fullmatch(r"[\w.-]+/[\w.-]+(@\w+)?", str(source)):
        raise FileNotFoundError(f"no folder {source}, and a hub id reads owner/name or owner/name@commit")
    name, _, commit = str(source).partition("@")
    commit = commit or latest_commit(name)
    return download(name, names, commit), f"{name}@{commit[:12]}"
