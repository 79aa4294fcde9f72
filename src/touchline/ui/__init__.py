"""``touchline ui``: one page on loopback that lists pipelines and runs live, and leads to everything else.

``serve`` is the command, ``door`` lets in whoever has the token, ``site`` says what is at which address. ``home`` and
``run`` read the journals again and again, ``reports`` makes reports when somebody asks, ``servers`` keeps MLflow,
TensorBoard and the Optuna dashboard beside the page.
"""
