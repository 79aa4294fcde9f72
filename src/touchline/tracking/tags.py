"""Tags of a run that several parts read or write."""

STUDY_TAG = "touchline.study"
"""The study that the run is a trial of, or got its configuration from."""
TRIAL_TAG = "touchline.trial"
"""Number of that study's trial."""
