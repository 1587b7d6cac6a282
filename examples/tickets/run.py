"""Classification by labelled examples: messages to a shop, sent to the right desk, or to a person where that is unsure.

A logistic regression learns from the stored vectors and the label in their metadata. How good it is, is measured by
cross-validation, beside what always guessing the most frequent label would give.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from _shared import connected, documents, main, say

try:
    from sklearn.dummy import DummyClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.neighbors import KNeighborsClassifier
except ModuleNotFoundError:
    sys.exit("scikit-learn is missing: pip install scikit-learn")

#: Below this probability a person reads the message.
SURE = 0.6

#: Vectors of length 1 have small components, so the regression needs little regularisation (a high C).
MODELS = {
    "always the most frequent label": DummyClassifier(strategy="most_frequent"),
    "the nearest five vote": KNeighborsClassifier(5, metric="cosine"),
    "logistic regression": LogisticRegression(C=100, max_iter=1000),
}


def run(real: bool) -> None:
    """Learn from the labelled messages, measure, label the new ones."""
    new = documents(__file__, "new.jsonl")
    with connected(__file__, real=real, vectors="e5") as nv:
        tickets = nv["tickets"]
        tickets.upsert(documents(__file__, "labelled.jsonl"))
        learned = tickets.matrix()
        vectors = tickets.embed([message.text for message in new])
    labels = np.array([each["label"] for each in learned.metadata])

    say(f"{len(labels)} labelled messages, five-fold cross-validation:")
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    accuracy = {name: cross_val_score(model, learned.vectors, labels, cv=folds) for name, model in MODELS.items()}
    for name, scores in accuracy.items():
        say(f"    {scores.mean():.2f} (from {scores.min():.2f} to {scores.max():.2f})  {name}")

    model = MODELS["logistic regression"].fit(learned.vectors, labels)
    right = unsure = caught = 0
    for message, probabilities in zip(new, model.predict_proba(vectors), strict=True):
        best, true = probabilities.argmax(), message.metadata["label"]
        sure = probabilities[best] >= SURE
        right += bool(sure and model.classes_[best] == true)
        unsure += not sure
        caught += bool(not sure and true == "unclear")
        desk = model.classes_[best] if sure else f"a person (perhaps {model.classes_[best]})"
        say(f"\n{message.text}\n    {probabilities[best]:.2f} {desk}")
    nobodys = sum(message.metadata["label"] == "unclear" for message in new)
    best, guess = (accuracy[name].mean() for name in ("logistic regression", "always the most frequent label"))
    say(f"\nAccuracy {best:.2f} beside {guess:.2f} for guessing.")
    say(f"Of {len(new)} new messages {len(new) - unsure} were labelled, {right} of them right;")
    say(f"{unsure} went to a person, among them {caught} of the {nobodys} that belong to no desk.")


if __name__ == "__main__":
    main(run)
