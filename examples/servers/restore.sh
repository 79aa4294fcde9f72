#!/bin/sh
# Bring back what backup.sh saved in BACKUPS, in place of what the databases hold: on new volumes or on the same.
set -eu
cd "$(dirname "$0")"
export BACKUPS="${BACKUPS:-$(sed -n 's/^BACKUPS=//p' .env)}"
docker compose stop tls mlflow
docker compose up --detach --wait database objects
for name in mlflow studies; do
	docker compose exec -T database dropdb --username=postgres --if-exists --force "$name"
	docker compose exec -T database pg_restore --username=postgres --dbname=postgres --create --exit-on-error \
		<"$BACKUPS/$name.dump"
done
docker compose run --rm -T copy copy /backups/artifacts objects:mlflow
docker compose up --detach
