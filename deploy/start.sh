#!/bin/sh
# Makes the node's home on the first start, then serves; with arguments it runs that command on the home instead.
# The database's password comes from a mounted secret, so that every command has to come through here.
set -eu
FEDERATION_DATABASE_URL="postgresql://federation:$(cat /run/secrets/database_password)@database/federation"
export FEDERATION_DATABASE_URL
if [ $# -gt 0 ]; then
  exec federation "$@" --home /node
fi
if [ ! -f /node/federation.toml ]; then
  federation init --home /node --name "$FEDERATION_NAME" --url "$FEDERATION_URL" --scope "$FEDERATION_SCOPE"
fi
exec federation serve --home /node --host 0.0.0.0 --port 8000
