# On a machine of Google's: a service that does nothing until the machine powers off, and then, before the
# network goes, deletes it. The machine has an identity of its own, which SkyPilot gives it.
sudo tee /usr/local/sbin/plaintune-end >/dev/null <<'END'
#!/bin/sh
about() { curl -sf --max-time 20 -H 'Metadata-Flavor: Google' "${METADATA:-http://metadata.google.internal}/computeMetadata/v1/instance/$1"; }
token=$(about service-accounts/default/token | sed 's/.*"access_token": *"\([^"]*\)".*/\1/')
curl -sf --max-time 30 -X DELETE -H "Authorization: Bearer $token" \
  "${COMPUTE:-https://compute.googleapis.com/compute/v1}/$(about zone)/instances/$(about name)"
END
sudo chmod 755 /usr/local/sbin/plaintune-end
sudo tee /etc/systemd/system/plaintune-end.service >/dev/null <<'END'
[Unit]
Description=Deletes this rented machine when it powers off
Wants=network-online.target
After=network-online.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
ExecStop=/usr/local/sbin/plaintune-end
[Install]
WantedBy=multi-user.target
END
sudo systemctl daemon-reload && sudo systemctl enable --now plaintune-end.service
