#!/bin/bash
# shutdown of a machine whose first process is sshd: `shutdown -P +MINUTES` ends that process when the time is
# up, in place of an earlier timer; `shutdown -c` calls it off. A minute has LAB_MINUTE_SECONDS seconds here.
set -eu
timer=/run/shutdown.pid
if [ -e $timer ]; then
    kill "$(cat $timer)" 2>/dev/null || true
    rm -f $timer
fi
minutes=0
for word in "$@"; do
    case $word in
        -c) exit 0 ;;
        +*) minutes=${word#+} ;;
    esac
done
(sleep $((minutes * ${LAB_MINUTE_SECONDS:-60})) && kill -TERM 1) </dev/null >/dev/null 2>&1 &
echo $! >$timer
