# Off is not enough: Azure has the machine paid for until it is asked to take it back. So this asks until it does.
about() { curl -sf --noproxy '*' --max-time 10 -H 'Metadata: true' "${METADATA:-http://169.254.169.254}/metadata/$1"; }
look() {
  token=$(about 'identity/oauth2/token?api-version=2018-02-01&resource=https://management.azure.com/' | sed 's/.*"access_token": *"\([^"]*\)".*/\1/')
  machine=$(about 'instance/compute/resourceId?api-version=2021-02-01&format=text')
}
ask() { curl -sf --max-time 30 -X "$1" -H 'Content-Length: 0' -H "Authorization: Bearer $token" "${MANAGER:-https://management.azure.com}$2"; }
if [ "$keep" = yes ]; then
  systemctl list-jobs 2>/dev/null | grep -q 'reboot.target.*start' && exit 0
  until look && ask POST "$machine/deallocate?api-version=2024-07-01"; do sleep "${PAUSE:-20}"; done
  exit 0
fi
while :; do
  look && {
    ask DELETE "${machine%/providers/*}?api-version=2021-04-01&forceDeletionTypes=Microsoft.Compute/virtualMachines" ||
      ask DELETE "$machine?api-version=2024-07-01&forceDeletion=true"
  }
  sleep "${PAUSE:-20}"
done
