about() { curl -sf --max-time 20 -H 'Metadata-Flavor: Google' "${METADATA:-http://metadata.google.internal}/computeMetadata/v1/instance/$1"; }
token=$(about service-accounts/default/token | sed 's/.*"access_token": *"\([^"]*\)".*/\1/')
curl -sf --max-time 30 -X DELETE -H "Authorization: Bearer $token" \
  "${COMPUTE:-https://compute.googleapis.com/compute/v1}/$(about zone)/instances/$(about name)"
