#!/usr/bin/env bash
# One rented machine: an overlay of this host with its own sshd, user and disk. Run as root in namespaces of its
# own; everything it mounted and started goes when its first process ends.
#
#   machine.sh image DIR                              bake what SkyPilot's own images carry
#   machine.sh boot DIR INSTANCE_ID REGION [ROLE]     start a machine; DIR/disk keeps what it writes
#
# Settings (LAB_*) come from lab.py and rack.py.
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")

# A directory marked opaque starts empty, whatever the host holds there.
hide() {
    local path
    for path in "$@"; do
        case $path/ in /tmp/* | /run/*) continue ;; esac # these get a tmpfs in any case
        mkdir -p "$disk$path"
        "$LAB_PYTHON" -c 'import os, sys
os.setxattr(sys.argv[1], "trusted.overlay.opaque", b"y")' "$disk$path"
    done
}

show() { # read only, at its own path
    mkdir -p "$root$1"
    mount --bind -o ro "$1" "$root$1"
}

# assemble DIR LOWER: DIR/root is LOWER, read only, under DIR/disk, which is written to.
assemble() {
    root=$1/root
    mkdir -p "$1/disk" "$1/work" "$root"
    mount -t overlay overlay -o "lowerdir=$2,upperdir=$1/disk,workdir=$1/work" "$root"
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
    mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
    mount -t tmpfs tmpfs "$root/run"
    mkdir -p "$root/run/sshd"
    local path
    for path in $LAB_SHOW; do show "$path"; done
}

bake_image() {
    local image=$1 partial=$1.partial
    rm -rf "$partial"
    disk=$partial/disk
    hide /home /root /work "$LAB_DIR"
    mkdir -p "$disk/etc"
    cp --dereference --parents /etc/resolv.conf "$disk" # on some hosts a link into /run
    assemble "$partial" /
    install -D "$LAB_UV" "$root/usr/local/bin/uv"
    install -m 755 "$here/shutdown.sh" "$root/usr/local/sbin/shutdown"
    chroot "$root" /usr/bin/env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        $LAB_MACHINE_ENV /bin/bash -euxc '
        id ubuntu || useradd -m -s /bin/bash ubuntu
        usermod -p "*" ubuntu
        mkdir -p /etc/sudoers.d
        echo "ubuntu ALL=(ALL) NOPASSWD:ALL" >/etc/sudoers.d/ubuntu
        install -d -o ubuntu -g ubuntu -m 700 /home/ubuntu/.ssh
        install -d -o ubuntu -g ubuntu /home/ubuntu/.local /home/ubuntu/.local/bin
        mv /usr/local/bin/uv /home/ubuntu/.local/bin/uv
        setpriv --reuid ubuntu --regid ubuntu --init-groups --inh-caps=-all env HOME=/home/ubuntu \
            bash -euxc '"'"'
            cd; export UV_LINK_MODE=copy VIRTUAL_ENV=$HOME/skypilot-runtime
            .local/bin/uv venv -q --seed skypilot-runtime --python "$0"
            .local/bin/uv pip install -q --no-cache "setuptools<70" "click<8.3.0" \
                "pydantic-core==2.41.1" "ray[default]==$2" "skypilot[aws,remote]==$1"
            # what set-up would install, from the packages of the tests: torch is not fetched again
            "$3" -m venv --without-pip plaintune-env
            echo "$4" >plaintune-env/lib/python$5/site-packages/tests.pth
            echo "$6" >plaintune-env/installed'"'"' "$0" "$@"
        ' "$LAB_MACHINE_PYTHON" $LAB_IMAGE_VERSIONS $LAB_TEST_PACKAGES
    mv "$partial" "$image"
}

boot() {
    local machine=$1 instance_id=$2 region=$3 role=${4-} ssh=/etc/ssh/lab
    # Two overlays: as plain lower layers the image would lie inside '/', which is refused.
    mkdir -p "$machine/image"
    mount -t overlay overlay -o "ro,lowerdir=/,upperdir=$LAB_IMAGE/disk,workdir=$LAB_IMAGE/work" "$machine/image"
    assemble "$machine" "$machine/image"
    hostname "$instance_id"
    until ip link show eth0 >/dev/null 2>&1; do sleep 0.1; done
    ip link set lo up
    ip address add 169.254.169.254/32 dev lo # where EC2's metadata service is
    local address
    for address in $LAB_ADDRESSES; do ip address add "$address" dev eth0; done
    ip link set eth0 up
    ip route add default via "$LAB_OUTSIDE"
    ip route add "${LAB_LINK%% *}" via "$LAB_INSIDE"
    echo nameserver 172.31.0.3 >"$root/etc/resolv.conf"
    # What cloud-init does: the key this instance was launched with, and the commands of the first start.
    install -o "$(chroot "$root" id -u ubuntu)" -m 600 "$machine/authorized_keys" "$root/home/ubuntu/.ssh/"
    if [ ! -e "$root$ssh.key" ]; then
        ssh-keygen -q -t ed25519 -N '' -f "$root$ssh.key"
        chroot "$root" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
            LAB_MINUTE_SECONDS="$LAB_MINUTE_SECONDS" /bin/bash <"$machine/first-commands"
    fi
    cat >"$root$ssh.conf" <<-CONF
	HostKey $ssh.key
	PidFile none
	UsePAM no
	PasswordAuthentication no
	MaxSessions 100
	MaxStartups 100
	Subsystem sftp internal-sftp
	SetEnv AWS_ENDPOINT_URL=http://$LAB_INSIDE:$LAB_MOTO_PORT $LAB_MACHINE_ENV
	CONF
    if [ "$LAB_METADATA" = works ]; then
        "$LAB_PYTHON" "$here/metadata.py" "$instance_id" "$region" "$role" &
    fi
    exec chroot "$root" /usr/bin/env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        /usr/sbin/sshd -D -e -f "$ssh.conf"
}

case ${1-} in
    image) bake_image "$2" ;;
    boot) boot "${@:2}" ;;
    *) sed -n '2,8s/^# \?//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
