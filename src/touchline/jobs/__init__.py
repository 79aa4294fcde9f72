"""Part of Touchline."""
