# A service that does nothing until the machine powers off, and then, before the network goes, asks the cloud to
# end it. The machine has an identity of its own, which SkyPilot gives it.
sudo tee /usr/local/sbin/plaintune-end >/dev/null <<'END'
#!/bin/sh
@ASK@
END
sudo chmod 755 /usr/local/sbin/plaintune-end
sudo tee /etc/systemd/system/plaintune-end.service >/dev/null <<'END'
[Unit]
Description=Ends this rented machine when it powers off
Wants=network-online.target
After=network-online.target nss-lookup.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
ExecStop=/usr/local/sbin/plaintune-end
TimeoutStopSec=infinity
[Install]
WantedBy=multi-user.target
END
# Without these, half an hour of a cloud that does not answer ends in a machine that is off, whoever asks.
for target in poweroff halt; do
  sudo mkdir -p /etc/systemd/system/$target.target.d
  printf '[Unit]\nJobTimeoutSec=infinity\n' | sudo tee /etc/systemd/system/$target.target.d/plaintune.conf >/dev/null
done
sudo systemctl daemon-reload && sudo systemctl enable --now plaintune-end.service
