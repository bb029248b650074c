#!/bin/sh
# Makes what docker-compose.yml needs and nobody else should know: the master key, keys of the API, and
# passwords, in deploy/secrets/ and .env. What exists is kept.
#
# Keep a copy of deploy/secrets/master.key elsewhere: without it the secrets of stored runs are lost.
set -eu
cd "$(dirname "$0")/.."
umask 077
random() { od -An -N"$1" -tx1 /dev/urandom | tr -d ' \n'; }

mkdir -p deploy/secrets
[ -e deploy/secrets/master.key ] || random 32 > deploy/secrets/master.key
[ -e deploy/secrets/metrics.key ] || random 24 > deploy/secrets/metrics.key
if [ ! -e .env ]; then
	key=$(random 24)
	cat > .env <<EOT
QUIPU_UID=$(id -u)
QUIPU_GID=$(id -g)
QUIPU_API_KEYS=admin:$key,metrics:$(cat deploy/secrets/metrics.key)
POSTGRES_PASSWORD=$(random 24)
GRAFANA_PASSWORD=$(random 12)
EOT
	echo "the key of the API: $key (.env has it)"
fi
