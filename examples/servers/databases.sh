#!/bin/bash
# PostgreSQL's image runs this once, when its volume is new: two databases, each of a user of its own, reached over TLS.
set -euo pipefail

case $SERVER_NAME in
*[!0-9.]*) also=DNS:$SERVER_NAME ;;
*) also=IP:$SERVER_NAME ;;
esac
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj "/CN=$SERVER_NAME" \
	-addext "subjectAltName=$also,DNS:database" -keyout "$PGDATA/server.key" -out "$PGDATA/server.crt"
chmod 600 "$PGDATA/server.key"

psql --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<'SQL'
\getenv mlflow MLFLOW_DATABASE_PASSWORD
\getenv tuner TUNER_PASSWORD
CREATE ROLE mlflow LOGIN PASSWORD :'mlflow';
CREATE ROLE tuner LOGIN PASSWORD :'tuner';
CREATE DATABASE mlflow OWNER mlflow;
CREATE DATABASE studies OWNER tuner;
REVOKE CONNECT ON DATABASE mlflow, studies FROM PUBLIC;
ALTER SYSTEM SET ssl = on;
SQL

# Over the network with a password, and never in clear; the socket is inside the container.
cat >"$PGDATA/pg_hba.conf" <<'HBA'
local   all all     trust
hostssl all all all scram-sha-256
HBA
