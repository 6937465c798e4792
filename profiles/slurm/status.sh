#!/bin/sh
# Says of one job, by its id: running, success or failed.
trap '' INT # Ctrl-C is for Snakemake, which then cancels the jobs that this says are running
found=$(scontrol -o show job "$1" 2>&1)
state=$(echo "$found" | sed -n 's/.* JobState=\([A-Z_]*\).*/\1/p')
case "$state,$found" in
COMPLETED,*) echo success ;;
BOOT_FAIL,* | CANCELLED,* | DEADLINE,* | FAILED,* | NODE_FAIL,* | OUT_OF_MEMORY,* | PREEMPTED,* | \
    REVOKED,* | TIMEOUT,*) echo failed ;;
,*"Invalid job id"*) # forgotten: it ended some minutes ago, as its own last line tells
    [ "$(cat ".snakemake/slurm/$1.exit" 2>/dev/null)" = 0 ] && echo success || echo failed ;;
*) echo running ;; # or pending, completing, ...; or the controller does not answer just now
esac
