"""The files in ``images/RUN/``, by name; docs/outputs.md says what each holds."""

PAGE = "index.html"
REALS = "reals.png"
AUGMENTED = "augmented.png"
HISTORY, HISTORY_PLOT = "history.csv", "history.png"
ANSWERS, ANSWERS_PLOT = "answers.csv", "answers.png"
BEST_AND_WORST = "best-worst.png"
HEALTH = "health.csv"
ARCHITECTURE = "architecture.png"
FILM = "training.gif"
NEAREST = "nearest.png"
EVENTS = "tensorboard"
EXPLORERS = {
    "average": ("explorer.html", "averaged weights"),
    "current": ("explorer-current.html", "weights of the last step"),
    "best": ("explorer-best.html", "averaged weights at the best score"),
}
"""Pages in which the generator runs, by ``sample.py --weights``: the file, and what is in it."""
LINKS = {
    ANSWERS_PLOT: "answers to real and generated images",
    HISTORY_PLOT: "curves as a picture",
    HISTORY: "curves as numbers",
    ANSWERS: "answers as numbers",
    HEALTH: "measurements behind the alarms",
    ARCHITECTURE: "the networks",
    AUGMENTED: "augmented training pictures",
    NEAREST: "nearest training pictures",
    FILM: "the grids as a film",
}
"""The files that the run's page links to, where they exist, and the text of each link."""
