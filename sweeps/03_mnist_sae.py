"""The recipe of notebook 3's further runs: the classifier in full, then the published autoencoder for 31 of 200 epochs.

For epoch 31 the original notebook prints reconstruction and L0, which have nearly settled by then; the 169 epochs after
it take minutes more a run. Everything varies with the seed: the classifier, the order of the images, the autoencoder.
A feature is live where at least one training image fires it.
"""

from paper_utils import data, sae

GRID = {"seed": range(10, 15)}  # none of the notebook's own
LOAD = data.load_mnist
EPOCHS = 31


def run(images: data.Images, seed: int, device: str = "cpu") -> dict[str, float]:
    """Train a classifier and an autoencoder on its activations; its accuracy, and the last epoch of the other."""
    classifier, autoencoder = sae.Classifier(seed=seed).to(device), sae.SparseAutoencoder(seed=seed).to(device)
    sae.train_classifier(classifier, images, sae.ClassifierConfig(), seed)
    history = sae.train(autoencoder, images, sae.SAEConfig(epochs=EPOCHS), classifier, seed, live_at=(EPOCHS,))
    hits = classifier.cpu()(images.test_x).argmax(1) == images.test_y
    last = {name: history[name][-1] for name in ("reconstruction", "l0", "live")}
    return {"classifier_accuracy": hits.float().mean().item(), **last}
