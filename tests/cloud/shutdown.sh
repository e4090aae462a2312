#!/bin/bash
# shutdown of a machine whose first process is sshd: `shutdown -P +MINUTES` ends that process when the time is
# up. A minute has LAB_MINUTE_SECONDS seconds here.
set -eu
minutes=0
for word in "$@"; do
    case $word in +*) minutes=${word#+} ;; esac
done
(sleep $((minutes * ${LAB_MINUTE_SECONDS:-60})) && kill -TERM 1) </dev/null >/dev/null 2>&1 &
