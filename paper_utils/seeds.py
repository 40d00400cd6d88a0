"""The quick experiments repeated over seeds: which of a notebook's numbers belong to the method, which to one run.

`python -m paper_utils.seeds [N=5] [NB=03] [SCHEDULER=tcp://host:port]`, behind `make seeds`, trains each experiment
from the seeds 0 .. N-1 and writes figures/seeds.json and figures/seeds/<experiment>.png and .svg; another N than 5 goes
to build/variants/, stand-in data to build/stand-in/. The recipes are the shorter ones that the notebooks themselves use
where they compare runs; each is stated, with its reason, by the function that follows it. All four experiments together
take about 100 s a seed on one core.
"""

import functools
import hashlib
import inspect
import json
import math
import os
import platform
import re
import statistics
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

import joblib
import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from tqdm import tqdm

from paper_utils import bilinear, data, groups, manifest, plotting, publishing, results, sae, training
from paper_utils import superposition as sp
from paper_utils.files import ROOT, replacing

Measures = dict[str, float]
PAPER_N = 5  # the seeds of the committed figures/seeds.json; another number is a variant and goes to build/variants/
THREADS = 1  # per run: steps this small gain nothing from a second thread, and one thread rounds alike on every machine
GOES_ON = "finished runs are kept under build/seeds/, the same command goes on with the rest"
PATIENCE = 5  # seconds for a scheduler, and then for its first worker, to answer


# ---- What is repeated. The first paragraph of each docstring is the recipe that seeds.json states.


def mnist_bilinear(seed: int, images: data.Images) -> Measures:
    """Notebook 1's own shorter schedule: all images, 12 epochs (2 rising, 6 halving, 4 constant) instead of 64.

    It is the one that the notebook compares seeds and noise with: 64 epochs would take four minutes a seed, and after
    12 the learning rate has come down to an eighth. Accuracies are of the test images: of the whole model, with 1 and
    10 eigenvectors per digit kept in layer 2, and under masks of norm 6 made from the weights (mean of ten masks).
    """
    model = bilinear.BilinearMLP(bilinear.BilinearConfig(), seed)
    bilinear.train(model, images.train_x, images.train_y, bilinear.BilinearRecipe(decay=6, constant=4), seed)
    x, y = images.test_x, images.test_y
    model.eval().requires_grad_(False)
    measures = {"test_accuracy": model.accuracy(x, y)}
    h0 = x @ model.w_e.T
    h1 = (h0 @ model.w_l[0].T) * (h0 @ model.w_r[0].T)
    forms = bilinear.eigendecompose(bilinear.interaction_tensor(model.w_u, model.w_l[1], model.w_r[1]))
    for k in (1, 10):
        hits = bilinear.truncated_logits(h1, *forms, k).argmax(1) == y
        measures[f"truncated_accuracy_{k}"] = hits.float().mean().item()
    masks = [bilinear.weight_mask(model, digit) for digit in range(10)]
    measures["mask_accuracy_6"] = statistics.fmean(model.accuracy(x + 6 * mask, y) for mask in masks)
    return measures


def mnist_sae(seed: int, images: data.Images) -> Measures:
    """Notebook 3's recipe for its further runs: classifier in full, published autoencoder for 31 of 200 epochs.

    For epoch 31 the original log prints reconstruction and L0, which have nearly settled by then; the 169 epochs after
    it take two more minutes a seed. Everything varies with the seed: the classifier, the order of the images, the
    autoencoder. A feature is live where at least one training image fires it.
    """
    classifier = sae.Classifier(seed=seed)
    sae.train_classifier(classifier, images.train_x, images.train_y, sae.ClassifierConfig(), seed)
    classifier.requires_grad_(False)
    order = torch.randperm(len(images.train_x), generator=torch.Generator().manual_seed(seed))
    activations = classifier.activations(images.train_x[order])
    autoencoder = sae.SparseAutoencoder(seed=seed)
    history = sae.train_sae(autoencoder, activations, sae.SAEConfig(epochs=31))
    return {
        "classifier_accuracy": (classifier(images.test_x).argmax(1) == images.test_y).float().mean().item(),
        "reconstruction": history["reconstruction"][-1],
        "l0": history["l0"][-1],
        "live": float((sae.firing_counts(autoencoder, activations) > 0).sum()),
    }


def dihedral_fourier(seed: int, _: None) -> Measures:
    """D_31 in place of D_53, by notebook 4's recipe for small groups: width 64, rate 0.01, decay 1, 3,000 epochs.

    The released D_53 took ten minutes, this takes seconds. 31 is as prime as 53 and leaves 15 frequencies to choose
    from; of D_11's five nearly all survive, and there is no choice to see. Accuracy is of all 3,844 pairs, a tenth of
    which were not trained on.
    """
    recipe = groups.GroupTraining(64, 64, learning_rate=1e-2, weight_decay=1.0, epochs=3000, log_every=3000, seed=seed)
    history = groups.train_group(groups.DihedralGroup(31), recipe)[1]
    names = ("accuracy", "live_frequencies", "weighted_fraction", "forbidden_share")
    return {name: history[name][-1] for name in names} | {
        "ablation_factor": history["loss"][-1] / history["ablated_loss"][-1]
    }


def toy_superposition(seed: int, images: data.Images) -> Measures:
    """Notebook 5's recipe for its further seeds (classifier 3 of 10 epochs, autoencoder in full), and 20 toy models.

    Three epochs give features of the same kind. Each seed trains alone, in its own order of batches, which the
    notebook's batched seeds share. The toy models (five features of equal importance in a plane, 20 at each of three
    sparsities, the notebook's full schedule) take two seconds together. Gathered is the share of the importance within
    15 degrees of the best two rays: for the measured directions, and for the encoder's columns less random angles.
    """
    net = sp.FeatureNet(seed=seed)
    sp.train_feature_net(net, images.train_x, images.train_y, sp.FeatureConfig(epochs=3), seed)
    plane = sp.PlaneAutoencoder(seed=seed)
    with torch.no_grad():
        h = net.features(images.train_x)
    sp.train_planes([plane], h[None], sp.PlaneConfig(), seed)
    plane.requires_grad_(False)
    importance = sp.feature_importance(plane, h).scaled
    generator = torch.Generator().manual_seed(seed)
    gathered, columns, *random = (
        sp.gathered_share(directions, importance, 2)
        for directions in (
            sp.feature_directions(plane, h),
            plane.encoder.weight.T,
            *(torch.randn(len(importance), 2, generator=generator) for _ in range(20)),
        )
    )
    bias = torch.corrcoef(torch.stack([importance, plane.decoder.bias]))[0, 1]
    measures = {
        "explained": 1 - ((plane(h) - h).square().mean() / h.var(0, correction=0).mean()).item(),
        "gathered_two": gathered,
        "columns_above_random": columns - statistics.fmean(random),
        "bias_correlation": bias.item(),
    }
    figures = {"triangle": 0.3, "digons": 0.7, "pentagon": 0.99}
    sparsity = torch.tensor(list(figures.values())).repeat_interleave(20)
    # Instance i is drawn from the model's seed + i: a step of 60 keeps the models of two seeds apart.
    toys = sp.ToyModel(5, 2, n_instances=60, seed=60 * seed)
    sp.train_toy(toys, sp.sparse_source(sparsity, 5), torch.ones(5), sp.ToyConfig(), seed)
    found = [sp.geometry(w) for w in toys.w.detach()]
    for i, figure in enumerate(figures):
        measures[f"{figure}_share"] = found[20 * i : 20 * (i + 1)].count(figure) / 20
    return measures


@functools.cache
def mnist() -> data.Images:
    """MNIST (or its stand-in), read once per process."""
    return data.load_mnist()


@dataclass(frozen=True)
class Experiment:
    """One notebook's training, short enough to be repeated.

    Args:
        name: the notebook's.
        measure: (seed, images) -> measures; trains from scratch, and all it draws follows from the seed.
        labels: what each measure is called in the figure; the measures are these and no other.
        code: the modules that decide the result, beside `measure` itself and `training`.
        load: the images; None where there is no data set.
    """

    name: str
    measure: Callable[[int, data.Images | None], Measures]
    labels: Mapping[str, str]
    code: tuple[ModuleType, ...]
    load: Callable[[], data.Images] | None = None

    @property
    def recipe(self) -> str:
        return " ".join((inspect.getdoc(self.measure) or "").split("\n\n")[0].split())

    def source(self) -> tuple[str, dict[str, str]]:
        """Where the data comes from, as in `Images.source`, and the hashes of its files."""
        images = self.load() if self.load else None
        return (images.source, images.files) if images else ("exact", {})

    def ingredients(self, threads: int) -> dict[str, str]:
        """All that decides a run beside its seed, by name: what the cache is keyed by, and what workers must share."""
        code = _code_digest(self.measure, training, *self.code)
        return {"code": code, "data": repr(self.source()), "torch": torch.__version__, "threads": str(threads)}

    def run(self, seed: int, threads: int) -> Measures:
        """Train from `seed` on `threads` threads and measure; torch and the terminal are as before afterwards.

        Raises:
            ValueError: the measures are not those declared, or not finite.
        """
        # Two runs in one process (a Dask worker with several threads) would draw from one global generator.
        with _ALONE, _quietly(threads):
            measures = self.measure(seed, self.load() if self.load else None)
        if measures.keys() != self.labels.keys() or not all(math.isfinite(v) for v in measures.values()):
            raise ValueError(f"{self.name}: needs finite numbers for {sorted(self.labels)}, got {measures}")
        return measures


_ALONE = threading.Lock()


@functools.cache
def _code_digest(*code: Callable | ModuleType) -> str:
    """The hash of these sources when first asked for: a file edited during a long run does not change what runs."""
    return hashlib.sha256("\f".join(map(inspect.getsource, code)).encode()).hexdigest()


@contextmanager
def _quietly(threads: int) -> Iterator[None]:
    """Run a block on this many threads, its progress bars off: those of several runs would overwrite each other."""
    shown = os.environ.get("PAPER_PROGRESS")
    os.environ["PAPER_PROGRESS"] = os.devnull
    try:
        with training.threads(threads):
            yield
    finally:
        os.environ.pop("PAPER_PROGRESS")
        if shown is not None:
            os.environ["PAPER_PROGRESS"] = shown


EXPERIMENTS = (
    Experiment(
        "01_mnist_bilinear",
        mnist_bilinear,
        {
            "test_accuracy": "test accuracy",
            "truncated_accuracy_1": "accuracy,\n1 eigenvector per digit",
            "truncated_accuracy_10": "accuracy,\n10 eigenvectors per digit",
            "mask_accuracy_6": "accuracy under\nmasks of norm 6",
        },
        (bilinear,),
        mnist,
    ),
    Experiment(
        "03_mnist_sae",
        mnist_sae,
        {
            "classifier_accuracy": "classifier's\ntest accuracy",
            "reconstruction": "reconstruction loss,\nepoch 31",
            "l0": "features per image\n(L0), epoch 31",
            "live": "live features of 1,024,\nepoch 31",
        },
        (sae,),
        mnist,
    ),
    Experiment(
        "04_dihedral_fourier",
        dihedral_fourier,
        {
            "accuracy": "accuracy, all pairs",
            "live_frequencies": "live frequencies of 15",
            "weighted_fraction": "power in a neuron's\nbest frequency",
            "forbidden_share": "share of waves that\nparity forbids",
            "ablation_factor": "loss / loss without\nthose waves",
        },
        (groups,),
    ),
    Experiment(
        "05_toy_superposition",
        toy_superposition,
        {
            "explained": "variance explained\nby the plane",
            "gathered_two": "importance near\nthe best two rays",
            "columns_above_random": "the same, columns\nless random angles",
            "bias_correlation": "correlation of bias\nand importance",
            "triangle_share": "share of triangles\n(of 20, sparsity 0.3)",
            "digons_share": "share of two digons\n(of 20, sparsity 0.7)",
            "pentagon_share": "share of pentagons\n(of 20, sparsity 0.99)",
        },
        (sp,),
        mnist,
    ),
)


# ---- Running them: here with loky, on a cluster with Dask


def attempt(experiment: Experiment, seed: int, threads: int, expected: Mapping[str, str]) -> dict:
    """One run as a worker does it: who it was, and either "measures" and "machine" or "error". Never raises."""
    outcome: dict = {"experiment": experiment.name, "seed": seed}
    try:
        found = experiment.ingredients(threads)
        if differ := [name for name in expected if found[name] != expected[name]]:
            raise RuntimeError(
                f"this worker has other {' and '.join(differ)} than the machine that asked: found "
                f"{[found[name] for name in differ]}, needs {[expected[name] for name in differ]}"
            )
        measures = experiment.run(seed, threads)
        machine = {"python": platform.python_version(), "torch": version("torch"), "numpy": version("numpy")}
        machine |= {"cpu_capability": torch.backends.cpu.get_cpu_capability(), "system": platform.system()}
        return outcome | {"ingredients": dict(expected), "measures": measures, "machine": machine}
    except Exception as error:
        frame = error.__traceback__
        while frame.tb_next:
            frame = frame.tb_next
        where = f"{Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}"
        return outcome | {"error": f"{type(error).__name__} at {where}: {error}"}


@contextmanager
def workers(scheduler: str) -> Iterator[joblib.Parallel]:
    """What to run on: processes of this machine, one per `THREADS` cores, or the workers of a Dask scheduler.

    On a cluster one task is one run, and Dask starts the runs of a worker that dies again on another.

    Raises:
        ModuleNotFoundError: a scheduler is given and Dask is not installed; says how to install it.
        ConnectionError: the scheduler, or its first worker, does not answer within `PATIENCE` seconds.
    """
    one_by_one = {"return_as": "generator_unordered", "batch_size": 1}
    if not scheduler:
        yield joblib.Parallel(max(1, joblib.cpu_count() // THREADS), **one_by_one)
        return
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"SCHEDULER={scheduler} needs Dask, and {error.name} is not installed: pip install '.[cluster]'"
        ) from error
    try:
        client = Client(scheduler, timeout=PATIENCE)
    except OSError as error:
        raise ConnectionError(
            f"no Dask scheduler answers at {scheduler} within {PATIENCE} s: start one there (`dask scheduler`)"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError as error:
            raise ConnectionError(
                f"the scheduler at {scheduler} has no worker: start some (`dask worker {scheduler} --nthreads 1`)"
            ) from error
        with joblib.parallel_config(backend=_cluster(client)):
            yield joblib.Parallel(**one_by_one)


def _cluster(client: object) -> joblib.parallel.ParallelBackendBase:
    """joblib's Dask backend, less two of its traps."""
    from joblib._dask import DaskDistributedBackend

    class Cluster(DaskDistributedBackend):
        def effective_n_jobs(self, n_jobs):
            # For a cluster of one thread (so far) joblib would run everything in this process.
            return max(2, super().effective_n_jobs(n_jobs))

        def submit(self, func, callback=None):
            # A task that Dask gives up, as its workers died, never calls back: joblib would wait for ever.
            future = super().submit(func, callback)
            future.add_done_callback(lambda done: done.exception() and callback(done.exception()))
            return future

        def retrieve_result_callback(self, out):
            # `attempt` never raises and a batch is a list: anything else is the cluster's own.
            if isinstance(out, list):
                return out
            raise BrokenExecutor(f"{type(out).__name__}: {out}")

    return Cluster(client=client)


def collect(
    experiments: Sequence[Experiment], seeds: Sequence[int], parallel: joblib.Parallel
) -> tuple[dict[tuple[str, int], dict], list[str]]:
    """Every run by (experiment, seed), from build/seeds/ or `parallel`, and what went wrong, a line for each failure.

    A finished run is kept at once, so that an interrupted or failing command goes on where it stopped.
    """
    expected = {e.name: e.ingredients(THREADS) for e in experiments}
    keys = {name: hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16] for name, parts in expected.items()}
    # Seed by seed, not experiment by experiment: the mean time of the runs done then tells the time left.
    jobs = {(e.name, seed): e for seed in seeds for e in experiments}
    kept = {job: ROOT / "build" / "seeds" / f"{job[0]}-{job[1]}-{keys[job[0]]}.json" for job in jobs}
    runs = {job: json.loads(path.read_text()) for job, path in kept.items() if path.exists()}
    todo = [job for job in jobs if job not in runs]
    failures: dict[tuple[str, int], str] = {}
    with tqdm(total=len(jobs), initial=len(runs), desc="seeds", unit="run") as bar:
        calls = (joblib.delayed(attempt)(jobs[job], job[1], THREADS, expected[job[0]]) for job in todo)
        try:
            for outcome in parallel(calls) if todo else ():
                job = outcome["experiment"], outcome["seed"]
                if "error" in outcome:
                    failures[job] = outcome["error"]
                else:
                    with replacing(kept[job]) as beside:
                        beside.write_text(json.dumps(outcome), encoding="utf-8")
                    runs[job] = outcome
                bar.set_postfix_str(f"{job[0]} seed {job[1]}", refresh=False)
                bar.update()
        except BrokenExecutor as error:
            ended = f"not finished: {str(error).splitlines()[0]}"
            failures |= {job: ended for job in todo if job not in runs and job not in failures}
    return runs, [f"{name}, seed {seed}: {error}" for (name, seed), error in failures.items()]


# ---- What is made of the runs


def statistics_of(values: Sequence[float]) -> dict[str, object]:
    """The values and their mean, sample standard deviation (n - 1), standard error of the mean, extremes, number.

    Example:
        >>> statistics_of([1.0, 3.0])["sd"] == 2**0.5
        True
    """
    deviation = statistics.stdev(values)
    spread = {"sd": deviation, "se": deviation / math.sqrt(len(values))}
    extremes = {"min": min(values), "max": max(values), "n": len(values)}
    return {"values": list(values), "mean": statistics.fmean(values)} | spread | extremes


def draw(experiment: Experiment, seeds: Sequence[int], measures: Mapping[str, Mapping]) -> Figure:
    """One panel per measure: every run as a dot over its seed, beside them their mean and one standard deviation."""
    rows = math.ceil(len(measures) / 4)
    columns = math.ceil(len(measures) / rows)
    fig, axes = plt.subplots(rows, columns, figsize=(plotting.TEXT_WIDTH, 0.4 + 1.75 * rows), squeeze=False)
    at = len(seeds) + 0.6
    for ax, (name, found) in zip(axes.flat, measures.items(), strict=False):
        ax.plot(range(len(seeds)), found["values"], "o", color=plotting.BLUE, markersize=3.5)
        ax.errorbar(at, found["mean"], found["sd"], fmt="s", color=plotting.VERMILLION, markersize=4, capsize=3)
        ax.set(xlim=(-0.6, at + 0.8), xticks=[*range(len(seeds)), at], title=experiment.labels[name])
        ax.set_xticklabels([*(s if s in (seeds[0], seeds[-1]) else "" for s in seeds), "mean"])
        if found["sd"] == 0:
            ax.set_yticks([found["mean"]])
        else:
            ax.yaxis.set_major_locator(MaxNLocator(4))
        ax.yaxis.get_major_formatter().set_useOffset(False)
    for ax in axes.flat[len(measures) :]:
        ax.set_axis_off()
    fig.supxlabel("seed", fontsize=8)
    fig.suptitle(f"{experiment.name}: dots are single runs, bars mean ± 1 s.d. over {len(seeds)} seeds", fontsize=9)
    return fig


def publish(experiment: Experiment, runs: Sequence[Mapping]) -> Path:
    """Draw an experiment's runs and write figure and entry; the folder they went to, as `publishing.place` says."""
    seeds = [run["seed"] for run in runs]
    measures = {name: statistics_of([run["measures"][name] for run in runs]) for name in experiment.labels}
    source, files = experiment.source()
    staging, before = ROOT / "build" / "staging" / "seeds", os.environ.get("PAPER_OUT")
    os.environ["PAPER_OUT"] = str(staging)
    try:
        results.begin(
            "seeds", mode="full", seed=seeds, source=source, files=files, figures=[experiment.name], numbers=[]
        )
    finally:
        os.environ.pop("PAPER_OUT") if before is None else os.environ.update(PAPER_OUT=before)
    numbers = "; ".join(f"{name} {m['mean']:.4g} ± {m['sd']:.2g}" for name, m in measures.items())
    alt = f"A panel per measure, with a dot for each of {len(seeds)} seeds and their mean ± 1 s.d.: {numbers}."
    with plt.rc_context(plotting.STYLE):
        results.save_figure(draw(experiment, seeds, measures), experiment.name, alt=alt)
    results.finish()
    account = json.loads((staging / "run.json").read_text())
    figure = account["figures"][experiment.name]
    out = publishing.place(account, len(seeds) != PAPER_N)
    for file in figure["files"]:
        with replacing(out / "seeds" / file) as beside:
            beside.write_bytes((staging / file).read_bytes())
    machines = [run["machine"] for run in runs]
    # A cluster's machines may differ in what does not stop a run; each version found is named.
    versions = {name: ", ".join(sorted({m[name] for m in machines})) for name in machines[0]}
    provenance = manifest.commit() | {"versions": versions, "threads": THREADS, "source": source, "files": files}
    entry = {"seeds": seeds, "recipe": experiment.recipe, "measures": measures}
    path = out / "seeds.json"
    merged = json.loads(path.read_text()) if path.exists() else {}
    merged[experiment.name] = entry | {"provenance": provenance | {"figure": figure}}
    with replacing(path) as beside:
        beside.write_text(json.dumps(merged, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return out


def parse(words: Sequence[str], names: Sequence[str]) -> tuple[int, list[str], str]:
    """N, the experiments picked and the scheduler's address ("" for this machine), from the words that make passes on.

    Raises:
        ValueError: says what was wrong and what would be right.
    """
    given = dict(word.partition("=")[::2] for word in words)
    given = {"N": str(PAPER_N), "NB": "", "SCHEDULER": os.environ.get("SCHEDULER", "")} | given
    # make passes every variable of its command line; these are its own.
    if unknown := given.keys() - {"N", "NB", "SCHEDULER", "PYTHON", "URL"}:
        raise ValueError(f"unknown variable {', '.join(sorted(unknown))}: known are N, NB and SCHEDULER")
    n, pattern, scheduler = given["N"], given["NB"], given["SCHEDULER"]
    if not re.fullmatch(r"[0-9]+", n) or int(n) < 2:
        raise ValueError(f"N={n}: must be a whole number of at least 2 (a spread needs two runs), as in N={PAPER_N}")
    picked = [name for name in names if name.startswith(pattern)]
    if not picked:
        raise ValueError(f"NB={pattern}: no experiment starts with it: there are {', '.join(names)}")
    if scheduler:
        try:
            address = urlsplit(scheduler)
            good = address.scheme in ("tcp", "tls") and address.hostname and address.port and not address.path
        except ValueError:
            good = False
        if not good:
            raise ValueError(f"SCHEDULER={scheduler}: must be tcp://host:port, as in SCHEDULER=tcp://127.0.0.1:8786")
    return int(n), picked, scheduler


def main(words: Sequence[str], experiments: Sequence[Experiment] = EXPERIMENTS) -> int:
    try:
        n, picked, scheduler = parse(words, [e.name for e in experiments])
        chosen = [e for e in experiments if e.name in picked]
        with workers(scheduler) as parallel:
            runs, failures = collect(chosen, range(n), parallel)
        if failures:
            print("\n".join(failures), file=sys.stderr)
            print(f"seeds: nothing written; {GOES_ON}", file=sys.stderr)
            return 1
        for experiment in chosen:
            out = publish(experiment, [runs[experiment.name, seed] for seed in range(n)])
            print(f"{experiment.name}: {os.path.relpath(out / 'seeds.json', ROOT)}")
    except (ValueError, OSError, ModuleNotFoundError, data.DataCorrupt) as error:
        print(f"seeds: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nseeds: interrupted; {GOES_ON}", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    # Through the package: what __main__ defines would travel to workers by value, and they could not tell its source.
    from paper_utils.seeds import main as packaged

    sys.exit(packaged(sys.argv[1:]))
