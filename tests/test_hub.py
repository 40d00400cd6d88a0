"""What comes over the network, tested against a network that is silent and a client that is told what to say."""

import time

import huggingface_hub
import pytest

from paper_utils import hub


def test_a_silent_network_is_given_up_within_seconds(monkeypatch):
    """A name that is never resolved, as behind a firewall that drops packets: the look-up has no limit of its own."""
    monkeypatch.setattr(hub.urllib.request, "urlopen", lambda *_, **__: time.sleep(30))
    started = time.monotonic()
    assert hub.answers("http://a.invalid/", seconds=0.5) is False
    assert time.monotonic() - started < 10


def test_without_answer_nothing_is_fetched(monkeypatch, tmp_path):
    monkeypatch.setattr(hub, "answers", lambda url: False)
    for ask in (hub.latest_commit, lambda name: hub.download(name, ["config.json"], "abc", tmp_path)):
        with pytest.raises(hub.Unreachable, match="someone/model"):
            ask("someone/model")
    assert list(tmp_path.iterdir()) == []


def test_files_are_asked_for_at_the_commit_and_a_transfer_that_breaks_off_says_so(monkeypatch, tmp_path):
    asked, pages = [], []

    def fetch(repository, name, **how):
        if name == "broken":
            raise OSError("connection reset\nby peer")
        asked.append((repository, name, how["repo_type"], how["revision"]))
        return str(tmp_path / name)

    monkeypatch.setattr(hub, "answers", lambda url: pages.append(url) or True)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetch)
    assert hub.download("someone/texts", ["a", "b"], "abc", tmp_path, kind="dataset") == tmp_path
    assert asked == [("someone/texts", "a", "dataset", "abc"), ("someone/texts", "b", "dataset", "abc")]
    assert pages == ["https://huggingface.co/datasets/someone/texts/resolve/abc/a"]
    with pytest.raises(hub.Unreachable, match=r"someone/model broke off \(connection reset\)"):
        hub.download("someone/model", ["broken"], "abc", tmp_path)
