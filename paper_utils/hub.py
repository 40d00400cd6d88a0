"""What comes over the network: whether anybody answers, and files of the Hugging Face hub at a fixed commit."""

import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HUB = "https://huggingface.co"


class Unreachable(RuntimeError):
    """Nobody answers within seconds, or the transfer broke off."""


def answering(urls: Sequence[str], seconds: float = 6.0) -> list[str]:
    """Those of `urls` that answer at all, asked side by side: urllib alone would wait minutes for a silent network."""

    def answers(url: str) -> bool:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=seconds):
                return True
        except (OSError, ValueError):
            return False

    pool = ThreadPoolExecutor(max_workers=len(urls))
    futures = [pool.submit(answers, url) for url in urls]
    # Looking a name up has no time limit of its own, so the wait is limited here and the threads are left behind.
    done = []
    for url, future in zip(urls, futures, strict=True):
        try:
            if future.result(timeout=seconds + 2):
                done.append(url)
        except TimeoutError:
            seconds = 0
    pool.shutdown(wait=False, cancel_futures=True)
    return done


def latest_commit(repository: str) -> str:
    """The commit that a model repository's main branch is at now.

    Raises:
        Unreachable: the hub does not answer within seconds, or does not know the repository.
    """
    from huggingface_hub import HfApi

    if not answering([f"{HUB}/{repository}"]):
        raise Unreachable(f"the hub does not answer for {repository}")
    try:
        return HfApi().model_info(repository, timeout=10).sha
    except (OSError, ValueError) as error:
        raise Unreachable(f"the hub does not tell the commit of {repository} ({_first_line(error)})") from error


def download(
    repository: str, names: Sequence[str], commit: str, folder: Path | None = None, kind: str = "model"
) -> Path:
    """Fetch files of a repository at a commit; returns the folder they lie in: `folder`, or the hub's cache.

    Raises:
        Unreachable: the hub does not answer within seconds, or the transfer broke off.
    """
    from huggingface_hub import hf_hub_download

    page = f"{HUB}/{'datasets/' if kind == 'dataset' else ''}{repository}/resolve/{commit}/{names[0]}"
    if not answering([page]):
        raise Unreachable(f"the hub does not answer for {repository}")
    try:
        paths = [
            hf_hub_download(repository, name, repo_type=kind, revision=commit, local_dir=folder, etag_timeout=10)
            for name in names
        ]
    except (OSError, ValueError) as error:
        raise Unreachable(f"the download of {repository} broke off ({_first_line(error)})") from error
    return Path(paths[0]).parent


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
