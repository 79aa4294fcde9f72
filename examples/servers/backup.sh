#!/bin/sh
# Save both databases, then the artifacts that MLflow's names, into BACKUPS. Nothing stops meanwhile.
set -eu
cd "$(dirname "$0")"
export BACKUPS="${BACKUPS:-$(sed -n 's/^BACKUPS=//p' .env)}"
mkdir -p "$BACKUPS"
for name in mlflow studies; do
	docker compose exec -T database pg_dump --username=postgres --format=custom "$name" >"$BACKUPS/$name.partial"
	mv "$BACKUPS/$name.partial" "$BACKUPS/$name.dump"
done
docker compose run --rm -T copy copy objects:mlflow /backups/artifacts
