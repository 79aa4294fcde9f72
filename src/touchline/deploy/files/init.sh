#!/bin/bash
# Before a machine's first task: what MuJoCo renders with, and a place for the home.
# Without a package index films are drawn instead, which is no reason to stop the machine.
export DEBIAN_FRONTEND=noninteractive
(apt-get update -qq && apt-get install -qq --no-install-recommends libegl1 libopengl0 libgl1) ||
  echo "touchline: libegl1 could not be installed, so films will be drawn instead of rendered" >&2
mkdir -p -m 1777 /local_disk0/touchline
