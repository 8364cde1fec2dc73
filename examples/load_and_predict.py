"""What did a search find, and what does the network that was trained from it see in a picture?

    python examples/load_and_predict.py runs/digits picture.jpg

Needs a run that was retrained: `python search.py`, then `python retrain.py runs/digits`.
"""

import argparse

import coordnas


def main(folder: str, picture: str) -> None:
    """Prints the run's front, then the picture's most probable classes."""
    run = coordnas.load_run(folder)
    print(f"space {run.space.name}, within {run.budget}, {len(run.classes)} classes")
    for found in run.front:
        mark = "*" if found.architecture == run.best else " "
        print(f"{mark} {found.cost.macs:>12,} MACs  {found.cost.params:>10,} parameters  {dict(found.metrics)}")

    trained = coordnas.load_network(f"{folder}/retrain/found-0")
    logits = trained.network.eval()(trained.prepare(picture)[None])  # 1×3×H×W to 1×classes
    assert logits.shape == (1, len(trained.classes))
    for name, probability in trained.predict(picture, top=3):
        print(f"{name}: {probability:.1%}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="a run's folder")
    parser.add_argument("picture", help="a picture's file")
    given = parser.parse_args()
    try:
        main(given.folder, given.picture)
    except coordnas.InputError as error:
        parser.exit(2, f"error: {error}\n")
    parser.exit()
