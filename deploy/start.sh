#!/bin/sh
# Makes the node's home on the first start, then serves. The database's password comes from a mounted secret.
set -eu
FEDERATION_DATABASE_URL="postgresql://federation:$(cat /run/secrets/database_password)@database/federation"
export FEDERATION_DATABASE_URL
if [ ! -f /node/federation.toml ]; then
  federation init --home /node --name "$FEDERATION_NAME" --url "$FEDERATION_URL" --scope "$FEDERATION_SCOPE"
fi
exec federation serve --home /node --host 0.0.0.0 --port 8000
