"""Other trackers' interfaces on Touchline's journal, so that a script changes one import line.

``import touchline.compat.wandb as wandb`` and ``import touchline.compat.mlflow as mlflow``; neither loads the
package whose interface it has, and neither waits for a network.
"""
